"""An ``APIRoute`` whose work is planned once, when the application starts.

FastAPI decides on every request what an endpoint wants: it walks the tree of dependencies, opens
exit stacks and makes a response model's field. Many endpoints want little: parameters, a JSON body,
dependencies that are plain functions of the request. A ``Plan`` writes that down at start-up and
then only validates and calls. Endpoints, errors and the OpenAPI document stay FastAPI's own. What a
plan cannot do, wherever it is declared (the route, its router, ``include_router``), stops the
start.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute, RouteContext
from pydantic_core import PydanticUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from todo_api.planned.json_body import read_json

MAX_CACHED_QUERIES = 256
"""Query strings whose validated values each route caches: a front end sends the same few over and
over."""

Errors = list[Any]
Step = Callable[[Request, dict[str, Any], Errors], None]
"""Puts one argument of the endpoint into the dict, or says in the list what is wrong with it."""


class PlannedRoute(APIRoute):
    """A route that ``Dispatch`` serves as planned.

    Behind FastAPI's own router it is an ordinary one.
    """


class Plan:
    """What serves the requests for one planned route.

    Args:
        context: the route as FastAPI sees it where it is included: with the dependencies, the body
            limit and everything else that its routers and ``include_router`` add.

    Raises:
        TypeError: the endpoint is not a coroutine function that answers a ``Response``; it, or a
            router on the way to it, needs something that a plan does not do; it reads a body
            without a limit.
    """

    def __init__(self, context: RouteContext) -> None:
        endpoint = context.endpoint
        if endpoint is None or not iscoroutinefunction(endpoint) or not _answers_response(endpoint):
            raise TypeError(f"{endpoint} must be a coroutine function that answers a Response")
        if not isinstance(context.response_class, DefaultPlaceholder):
            raise TypeError(f"{endpoint} answers ready responses: a response_class would do nothing")
        if context.strict_content_type is False:
            raise TypeError(f"{endpoint} takes bodies of their own content type only")
        self._endpoint = endpoint
        self._steps = _steps(context.dependant, set())
        self._body = context.body_field
        self._max_body_bytes: int | None = context.max_body_size
        if self._body is not None and self._max_body_bytes is None:
            raise TypeError(f"{endpoint} takes a body: give its router a max_body_size")

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whose path parameters are in its scope.

        Raises:
            RequestValidationError: the arguments are not what the endpoint takes.
            HTTPException: 413 or 415, about the body; or what the endpoint raises.
        """
        request = Request(scope, receive, send)
        arguments: dict[str, Any] = {}
        errors: Errors = []
        body = None
        if self._max_body_bytes is not None and self._body is not None:
            body = await read_json(request, self._max_body_bytes)
        for step in self._steps:
            step(request, arguments, errors)
        if self._body is not None:
            if body is PydanticUndefined and not self._body.field_info.is_required():
                arguments[self._body.name] = self._body.get_default()
            elif body is PydanticUndefined:
                errors.append({"type": "missing", "loc": ("body",), "msg": "Field required", "input": None})
            else:
                arguments[self._body.name], found = self._body.validate(body, loc=("body",))
                errors += found
        if errors:
            raise RequestValidationError(errors)
        response = await self._endpoint(**arguments)
        await response(scope, receive, send)


def _answers_response(endpoint: Callable[..., Any]) -> bool:
    answer = get_type_hints(endpoint).get("return")
    return isinstance(answer, type) and issubclass(answer, Response)


def _steps(dependant: Dependant, seen: set[Callable[..., Any]]) -> list[Step]:
    """One step for each argument, in the order in which FastAPI would name what is wrong."""
    unsupported = (
        *dependant.body_params[1:],
        *[field for field in dependant.body_params if isinstance(field.field_info, Form)],
        *dependant.cookie_params,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.http_connection_param_name,
        dependant.websocket_param_name,
        dependant.own_oauth_scopes,
        dependant.concurrency,
    )
    if any(unsupported):
        raise TypeError(f"{dependant.call} takes what a planned route does not give")
    steps = [_call(dependency, seen) for dependency in dependant.dependencies]
    steps += [_path_parameter(field) for field in dependant.path_params]
    if dependant.query_params:
        steps.append(_query_parameters(dependant.query_params))
    if dependant.header_params:
        steps.append(_header_parameters(dependant.header_params))
    if dependant.request_param_name is not None:
        steps.append(_the_request(dependant.request_param_name))
    return steps


_NOT_PLAIN = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)


def _call(dependency: Dependant, seen: set[Callable[..., Any]]) -> Step:
    """Calls a dependency.

    Its result is an argument, unless a router declares it for its effect alone.
    """
    function, name = dependency.call, dependency.name
    if not isfunction(function) or dependency.body_params or any(kind(function) for kind in _NOT_PLAIN):
        raise TypeError(f"{function} must be a plain function without a body, to be a planned route's dependency")
    if function in seen:
        raise TypeError(f"{function} is taken twice: a planned route does not remember what it answered")
    seen.add(function)
    steps = _steps(dependency, seen)

    def call(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        given: dict[str, Any] = {}
        for step in steps:
            step(request, given, errors)
        if not errors:
            result = function(**given)
            if name is not None:
                arguments[name] = result

    return call


def _the_request(name: str) -> Step:
    def step(request: Request, arguments: dict[str, Any], errors: Errors) -> None:  # noqa: ARG001 - a Step
        arguments[name] = request

    return step


def _path_parameter(field: Any) -> Step:
    name, alias, validate = field.name, field.alias, field.validate
    location = ("path", alias)
    if field.field_info.annotation is str and not field.field_info.metadata:

        def take(request: Request, arguments: dict[str, Any], errors: Errors) -> None:  # noqa: ARG001 - a Step
            arguments[name] = request.scope["path_params"][alias]

        return take

    def step(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        arguments[name], found = validate(request.scope["path_params"][alias], loc=location)
        errors += found

    return step


def _defaults(fields: Sequence[Any]) -> dict[str, Any]:
    defaults = {field.name: field.get_default() for field in fields}
    if PydanticUndefined in defaults.values():
        raise TypeError("a planned route's query and header parameters must have defaults")
    return defaults


def _query_parameters(fields: Sequence[Any]) -> Step:
    defaults = _defaults(fields)

    @lru_cache(MAX_CACHED_QUERIES)
    def read(query: bytes) -> tuple[dict[str, Any], Errors]:
        values, errors = defaults.copy(), []
        given = _parse(query.decode("latin-1"))
        for field in fields:
            if field.alias in given:
                values[field.name], found = field.validate(given[field.alias], loc=("query", field.alias))
                errors += found
        return values, errors

    def step(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        values, found = read(request.scope["query_string"])
        arguments.update(values)
        errors += found

    return step


def _parse(query: str) -> dict[str, str]:
    """The last value of each name.

    What has nothing to decode takes a shorter way to the same result.
    """
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    return {name: value for name, _, value in [piece.partition("=") for piece in query.split("&") if piece]}


def _header_parameters(fields: Sequence[Any]) -> Step:
    defaults = _defaults(fields)
    fields_by_header = {field.alias.lower().encode(): field for field in fields}

    def step(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        arguments.update(defaults)
        given: dict[bytes, bytes] = {}
        for name, value in request.scope["headers"]:
            if name in fields_by_header:  # several lines of one header are one list (RFC 9110 §5.3)
                given[name] = given[name] + b", " + value if name in given else value
        for name, value in given.items():
            field = fields_by_header[name]
            arguments[field.name], found = field.validate(value.decode("latin-1"), loc=("header", field.alias))
            errors += found

    return step
