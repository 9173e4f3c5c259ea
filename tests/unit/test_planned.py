"""A planned route answers as FastAPI's own does; what a plan cannot do stops the start."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    Header,
    Path,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.middleware.errors import HANDLERS
from todo_api.models import TaskComplete, TaskUpdate
from todo_api.planned.dispatch import Dispatch
from todo_api.planned.route import PlannedRoute


def _shop(request: Request, shop: Annotated[str, Path(max_length=5)]) -> str:
    return f"{shop} by {request.method}"


Shop = Annotated[str, Depends(_shop)]
Number = Annotated[int, Path(ge=1)]


def _answer(**values: Any) -> Response:
    return Response(json.dumps(values, sort_keys=True, default=lambda model: sorted(model.model_fields_set)))


async def find(
    shop: Shop,
    status: Literal["all", "new"] = "all",
    limit: Annotated[int, Query(ge=1, le=10, alias="max")] = 10,
    word: str | None = None,
    tag: Annotated[str | None, Header(alias="If-None-Match", max_length=5)] = None,
) -> Response:
    return _answer(shop=shop, status=status, limit=limit, word=word, tag=tag)


async def change(shop: Shop, number: Number, body: TaskUpdate) -> Response:
    return _answer(shop=shop, number=number, body=body)


async def toggle(shop: Shop, number: Number, body: Annotated[TaskComplete, Body()] = TaskComplete()) -> Response:
    return _answer(shop=shop, number=number, body=body)


async def fail(shop: Shop, number: Number) -> Response:
    raise HTTPException(404) if number == 1 else RequestValidationError([])


def build(route_class: type[APIRoute]) -> FastAPI:
    """The same four endpoints on routes of one class."""
    router = APIRouter(prefix="/{shop}", route_class=route_class, max_body_size=1000)
    router.get("", response_model=list[str])(find)
    router.put("/{number}", response_model=str)(change)
    router.patch("/{number}/toggle", response_model=str)(toggle)
    router.delete("/{number}", response_model=str)(fail)
    return including(router)


def including(router: APIRouter, **options: Any) -> FastAPI:
    """An application with one router."""
    app = FastAPI(exception_handlers=HANDLERS, redirect_slashes=False)
    app.include_router(router, **options)
    return app


def dispatching(app: FastAPI) -> ASGIApp:
    """The application with its planned routes served as planned."""
    dispatch = Dispatch(app.router, app.routes, aliases={})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app
        dispatch.find(scope["path"].split("/"), scope)
        await dispatch(scope, receive, send)

    return AsyncExitStackMiddleware(ExceptionMiddleware(serve, handlers=HANDLERS))


def answer(app: ASGIApp, method: str, path: str, **options: Any) -> tuple[int, bytes]:
    """Status and body of one request to an application in this process."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, **options)

    response = asyncio.run(ask())
    return response.status_code, response.content


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/shop", {}),
        ("GET", "/shop?status=new&max=3&word=%C3%BC&other=1", {}),
        ("GET", "/shop?max=1&max=2", {}),
        ("GET", "/shop?word=", {}),
        ("GET", "/shop?status=old&max=0", {}),
        ("GET", "/shop", {"headers": {"If-None-Match": '"a"'}}),
        ("GET", "/shop?max=0", {"headers": {"If-None-Match": '"longer"'}}),
        ("GET", "/shop?max=x", {}),
        ("GET", "/longer?max=x", {}),
        ("PUT", "/shop/7", {"json": {"title": " a ", "completed": True}}),
        ("PUT", "/shop/7", {"json": {"title": 1, "completed": "x"}}),
        ("PUT", "/shop/0", {"json": {}}),
        ("PUT", "/longer/x", {"json": []}),
        ("PUT", "/shop/7", {}),
        ("PUT", "/shop/7", {"content": b"null", "headers": JSON}),
        ("PUT", "/shop/7", {"content": b"{", "headers": JSON}),
        ("PATCH", "/shop/7/toggle", {}),
        ("PATCH", "/shop/7/toggle", {"json": {}}),
        ("PATCH", "/shop/7/toggle", {"json": {"completed": True}}),
        ("PATCH", "/shop/7/toggle", {"content": b"null", "headers": JSON}),
        ("DELETE", "/shop/1", {}),
        ("DELETE", "/shop/2", {}),
        ("POST", "/shop/1", {}),
        ("GET", "/shop/1/nothing/here", {}),
    ],
)
def test_answers_are_those_of_a_stock_route(method: str, path: str, options: dict[str, Any]) -> None:
    stock, planned = build(APIRoute), dispatching(build(PlannedRoute))

    expected = answer(stock, method, path, **options)
    assert answer(planned, method, path, **options) == expected
    assert answer(planned, method, path, **options) == expected  # also from what it remembers


def test_openapi_document_is_that_of_stock_routes() -> None:
    assert build(PlannedRoute).openapi() == build(APIRoute).openapi()


async def _takes_a_required_header(x: Annotated[str, Header()]) -> Response:
    return Response(x)


async def _takes_background_tasks(tasks: BackgroundTasks) -> Response:
    return Response(background=tasks)


async def _takes_a_required_query(x: str) -> Response:
    return Response(x)


def _is_no_coroutine() -> Response:
    return Response()


async def _resource() -> AsyncIterator[int]:
    yield 1


async def _takes_a_resource(x: Annotated[int, Depends(_resource)]) -> Response:
    return Response(str(x))


def _reads_the_shop(request: Request) -> str:
    return str(request.path_params["shop"])


def _once_more(shop: Annotated[str, Depends(_reads_the_shop)]) -> str:
    return shop


async def _takes_a_dependency_twice(
    x: Annotated[str, Depends(_reads_the_shop)], y: Annotated[str, Depends(_once_more)]
) -> Response:
    return Response(x + y)


async def _takes_a_scheme(x: Annotated[Any, Depends(HTTPBearer())]) -> Response:
    return Response()


async def _takes_scopes(x: Annotated[str, Security(_reads_the_shop, scopes=["tasks"])]) -> Response:
    return Response()


async def _answers_anything(shop: Shop) -> str:
    return shop


@pytest.mark.parametrize(
    "endpoint",
    [
        _takes_a_required_header,
        _takes_background_tasks,
        _takes_a_required_query,
        _is_no_coroutine,
        _takes_a_resource,
        _takes_a_dependency_twice,
        _takes_a_scheme,
        _takes_scopes,
        _answers_anything,
    ],
)
def test_endpoint_that_wants_more_stops_the_start(endpoint: Callable[..., Any]) -> None:
    router = APIRouter(route_class=PlannedRoute)
    router.get("/{shop}", response_model=None)(endpoint)
    with pytest.raises(TypeError):
        dispatching(including(router))


async def _resource_of_a_router() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("on_the_router", "on_the_route", "on_include"),
    [
        ({"dependencies": [Depends(_resource_of_a_router)]}, {}, {}),
        ({}, {"dependencies": [Depends(_resource_of_a_router)]}, {}),
        ({}, {}, {"dependencies": [Depends(_resource_of_a_router)]}),
        ({"default_response_class": PlainTextResponse}, {}, {}),
        ({}, {"response_class": PlainTextResponse}, {}),
        ({}, {}, {"default_response_class": PlainTextResponse}),
        ({"strict_content_type": False}, {}, {}),
        ({"max_body_size": None}, {}, {}),
    ],
)
def test_what_is_declared_around_an_endpoint_stops_the_start_if_no_plan_does_it(
    on_the_router: dict[str, Any], on_the_route: dict[str, Any], on_include: dict[str, Any]
) -> None:
    router = APIRouter(prefix="/{shop}", route_class=PlannedRoute, **{"max_body_size": 1000, **on_the_router})
    router.put("/{number}", response_model=None, **on_the_route)(change)
    with pytest.raises(TypeError):
        dispatching(including(router, **on_include))


def _only_of_mine(request: Request) -> None:
    if request.path_params["shop"] != "mine":
        raise HTTPException(403)


@pytest.mark.parametrize("place", ["router", "route", "include_router", "application"])
def test_dependency_that_nobody_takes_runs_wherever_it_is_added(place: str) -> None:
    def at(name: str) -> dict[str, Any]:
        return {"dependencies": [Depends(_only_of_mine)]} if place == name else {}

    router = APIRouter(prefix="/{shop}", route_class=PlannedRoute, **at("router"))
    router.get("", response_model=None, **at("route"))(find)
    app = FastAPI(exception_handlers=HANDLERS, **at("application"))
    app.include_router(router, **at("include_router"))

    assert answer(dispatching(app), "GET", "/mine")[0] == 200
    assert answer(dispatching(app), "GET", "/other")[0] == 403


@pytest.mark.parametrize("place", ["router", "route", "include_router"])
def test_body_limit_holds_wherever_it_is_set(place: str) -> None:
    def at(name: str) -> dict[str, Any]:
        return {"max_body_size": 20} if place == name else {}

    router = APIRouter(prefix="/{shop}", route_class=PlannedRoute, **at("router"))
    router.put("/{number}", response_model=None, **at("route"))(change)
    app = dispatching(including(router, **at("include_router")))

    assert answer(app, "PUT", "/shop/7", content=b'{"title": "a"}     ', headers=JSON)[0] == 200
    assert answer(app, "PUT", "/shop/7", content=b'{"title": "a"}      ', headers=JSON)[0] == 200
    assert answer(app, "PUT", "/shop/7", content=b'{"title": "a"}       ', headers=JSON)[0] == 413


def test_dependency_overrides_are_honoured() -> None:
    app = build(PlannedRoute)
    planned = dispatching(app)
    before = answer(planned, "GET", "/shop")
    app.dependency_overrides[_shop] = lambda: "another"

    assert json.loads(before[1])["shop"] == "shop by GET"
    assert json.loads(answer(planned, "GET", "/shop")[1])["shop"] == "another"
