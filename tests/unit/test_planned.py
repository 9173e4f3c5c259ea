"""A compiled route answers as FastAPI's own does; what it cannot do, it refuses at start-up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from todo_api.middleware.errors import HANDLERS
from todo_api.models import TaskComplete, TaskUpdate
from todo_api.planned.route import CompiledRoute


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
    router = APIRouter(prefix="/{shop}", route_class=route_class)
    router.get("", response_model=list[str])(find)
    router.put("/{number}", response_model=str)(change)
    router.patch("/{number}/toggle", response_model=str)(toggle)
    router.delete("/{number}", response_model=str)(fail)
    return FastAPI(routes=router.routes, exception_handlers=HANDLERS, redirect_slashes=False)


def answer(app: FastAPI, method: str, path: str, **options: Any) -> tuple[int, bytes]:
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
    stock, compiled = (build(route_class) for route_class in (APIRoute, CompiledRoute))

    expected = answer(stock, method, path, **options)
    assert answer(compiled, method, path, **options) == expected
    assert answer(compiled, method, path, **options) == expected  # also from what it remembers


def test_openapi_document_is_that_of_stock_routes() -> None:
    assert build(CompiledRoute).openapi() == build(APIRoute).openapi()


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


@pytest.mark.parametrize(
    "endpoint",
    [_takes_a_required_header, _takes_background_tasks, _takes_a_required_query, _is_no_coroutine, _takes_a_resource],
)
def test_endpoint_that_wants_more_is_refused_at_start_up(endpoint: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        CompiledRoute("/x", endpoint, methods=["GET"], response_model=None)
