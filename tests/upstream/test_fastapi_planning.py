"""What ``planned/`` relies on in FastAPI beyond its documentation, a test for each thing."""

from inspect import signature
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from pydantic_core import PydanticUndefined


class Thing(BaseModel):
    """A body."""

    name: str


def _dependency(request: Request) -> str:
    return request.method


async def _endpoint(
    id: Annotated[int, Path(ge=1)],
    dependency: Annotated[str, Depends(_dependency)],
    request: Request,
    *,
    body: Annotated[Thing, Body()] = Thing(name="default"),
    limit: Annotated[int, Query(alias="max")] = 10,
    tag: Annotated[str | None, Header(alias="If-Match")] = None,
) -> Response:
    return Response()


def context(*, on_the_router: dict[str, Any] | None = None, **on_include: Any) -> RouteContext:
    """The endpoint's route as FastAPI sees it where it is included."""
    router = APIRouter(**on_the_router or {})
    router.put("/{id}", response_model=None)(_endpoint)
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/api", **on_include)
    (found,) = iter_route_contexts(app.routes)
    return found


def test_context_of_an_included_route_has_its_path_methods_and_endpoint() -> None:
    found = context()

    assert (found.path, found.methods, found.endpoint) == ("/api/{id}", {"PUT"}, _endpoint)
    assert isinstance(found.original_route, APIRoute)


def test_dependant_tells_the_parameters_apart() -> None:
    dependant: Dependant = context().dependant

    assert [field.name for field in dependant.path_params] == ["id"]
    assert [(field.name, field.alias) for field in dependant.query_params] == [("limit", "max")]
    assert [(field.name, field.alias) for field in dependant.header_params] == [("tag", "If-Match")]
    assert [field.name for field in dependant.body_params] == ["body"]
    assert [(each.name, each.call) for each in dependant.dependencies] == [("dependency", _dependency)]
    assert dependant.request_param_name == "request"


def test_dependant_has_no_other_fields_that_a_plan_would_drop() -> None:
    assert set(Dependant.__slots__) == {
        "path_params",
        "query_params",
        "header_params",
        "cookie_params",
        "body_params",
        "dependencies",
        "name",
        "call",
        "request_param_name",
        "websocket_param_name",
        "http_connection_param_name",
        "response_param_name",
        "background_tasks_param_name",
        "security_scopes_param_name",
        "own_oauth_scopes",
        "parent_oauth_scopes",
        "use_cache",
        "path",
        "scope",
        "concurrency",
    }


def test_route_has_no_other_options_that_a_plan_would_drop() -> None:
    """Those about the response do nothing when an endpoint answers one, in FastAPI as in a plan."""
    of_the_document = {
        "callbacks",
        "deprecated",
        "description",
        "generate_unique_id_function",
        "include_in_schema",
        "name",
        "openapi_extra",
        "operation_id",
        "response_description",
        "responses",
        "summary",
        "tags",
    }
    of_a_model = {"response_model", "status_code"} | {
        f"response_model_{what}"
        for what in ("by_alias", "exclude", "exclude_defaults", "exclude_none", "exclude_unset", "include")
    }
    planned = {"dependencies", "dependency_overrides_provider", "endpoint", "max_body_size", "methods", "path", "self"}
    rejected = {"form_limits", "response_class", "strict_content_type"}

    assert set(signature(APIRoute.__init__).parameters) == of_the_document | of_a_model | planned | rejected


def test_dependencies_of_routers_come_first_and_without_a_name() -> None:
    def outer() -> None: ...

    def inner() -> None: ...

    dependant = context(on_the_router={"dependencies": [Depends(inner)]}, dependencies=[Depends(outer)]).dependant

    assert [(each.name, each.call) for each in dependant.dependencies] == [
        (None, outer),
        (None, inner),
        ("dependency", _dependency),
    ]


def test_scopes_and_concurrency_of_a_dependency_are_told() -> None:
    found = context(dependencies=[Security(_dependency, scopes=["a"]), Depends(_dependency, max_concurrency=1)])
    secured, bounded, _ = found.dependant.dependencies

    assert secured.own_oauth_scopes == ["a"]
    assert bounded.concurrency is not None


def test_field_validates_to_a_value_and_errors() -> None:
    (field,) = context().dependant.path_params
    value, errors = field.validate("7", loc=("path", "id"))
    nothing, found = field.validate("0", loc=("path", "id"))

    assert (value, list(errors)) == (7, [])
    assert (nothing, [error["loc"] for error in found]) == (None, [("path", "id")])


def test_field_knows_its_default_and_its_annotation() -> None:
    dependant = context().dependant
    (query,), (path,) = dependant.query_params, dependant.path_params

    assert (query.get_default(), path.get_default()) == (10, PydanticUndefined)
    assert (path.field_info.annotation, bool(path.field_info.metadata)) == (int, True)


def test_body_is_one_field_with_its_default() -> None:
    body = context().body_field

    assert (body.name, body.field_info.is_required(), body.get_default()) == ("body", False, Thing(name="default"))


def test_body_limit_is_the_nearest_one() -> None:
    assert context().max_body_size is None
    assert context(max_body_size=2).max_body_size == 2
    assert context(on_the_router={"max_body_size": 1}, max_body_size=2).max_body_size == 1


def test_response_class_is_a_placeholder_until_somebody_names_one() -> None:
    assert isinstance(context().response_class, DefaultPlaceholder)
    assert context(default_response_class=PlainTextResponse).response_class is PlainTextResponse


def test_dependency_overrides_are_those_of_the_application() -> None:
    app = FastAPI(openapi_url=None)
    router = APIRouter()
    router.put("/{id}", response_model=None)(_endpoint)
    app.include_router(router)
    (found,) = iter_route_contexts(app.routes)

    assert found.dependency_overrides_provider.dependency_overrides is app.dependency_overrides
