"""An ``APIRoute`` whose work is planned once, when the application is put together.

FastAPI decides on every request what an endpoint wants: it walks the tree of dependencies, opens
exit stacks and makes a response model's field. Our endpoints want little: parameters, a JSON body,
dependencies that are plain functions of the request. ``CompiledRoute`` writes that down at start-up
and then only validates and calls. Endpoints, errors and the OpenAPI document stay FastAPI's own; an
endpoint that wants more is refused at import.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic_core import PydanticUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from todo_api.planned.json_body import read_json

KEPT_QUERIES = 256
"""Query strings whose validated values each route remembers: a front end has a few, and sends them over and over."""

Errors = list[Any]
Fill = Callable[[Request, dict[str, Any], Errors], None]
"""Puts one argument of the endpoint into the dict, or says in the list what is wrong with it."""


class CompiledRoute(APIRoute):
    """A route that plans at start-up how its endpoint's arguments come from a request.

    Raises:
        TypeError: at start-up, for an endpoint that is not a coroutine function answering a ``Response``,
            or that takes anything but path, query and header parameters, one JSON body and plain dependencies.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if not iscoroutinefunction(endpoint) or not issubclass(get_type_hints(endpoint)["return"], Response):
            raise TypeError(f"{endpoint.__name__} must be a coroutine function that answers a Response")
        self._fill = _plan(self.dependant)
        self._body = self.body_field

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that this route's path matches."""
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405)
        request = Request(scope, receive, send)
        arguments: dict[str, Any] = {}
        errors: Errors = []
        body = await read_json(request) if self._body is not None else None
        for fill in self._fill:
            fill(request, arguments, errors)
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
        response = await self.endpoint(**arguments)
        await response(scope, receive, send)


def _plan(dependant: Dependant) -> Sequence[Fill]:
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
    )
    if any(unsupported):
        raise TypeError(f"{dependant.call} takes what a compiled route does not give")
    steps = [_call(dependency) for dependency in dependant.dependencies]
    steps += [_path_parameter(field) for field in dependant.path_params]
    if dependant.query_params:
        steps.append(_query_parameters(dependant.query_params))
    if dependant.header_params:
        steps.append(_header_parameters(dependant.header_params))
    if dependant.request_param_name is not None:
        steps.append(_the_request(dependant.request_param_name))
    return steps


_NOT_PLAIN = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)


def _call(dependency: Dependant) -> Fill:
    steps, function, name = _plan(dependency), dependency.call, dependency.name
    if function is None or name is None or dependency.body_params or any(kind(function) for kind in _NOT_PLAIN):
        raise TypeError(f"{function} is not a plain dependency")

    def fill(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        given: dict[str, Any] = {}
        for step in steps:
            step(request, given, errors)
        if not errors:
            arguments[name] = function(**given)

    return fill


def _the_request(name: str) -> Fill:
    def fill(request: Request, arguments: dict[str, Any], errors: Errors) -> None:  # noqa: ARG001 - a Fill
        arguments[name] = request

    return fill


def _path_parameter(field: Any) -> Fill:
    name, alias, validate = field.name, field.alias, field.validate
    location = ("path", alias)
    if field.field_info.annotation is str and not field.field_info.metadata:

        def take(request: Request, arguments: dict[str, Any], errors: Errors) -> None:  # noqa: ARG001 - a Fill
            arguments[name] = request.scope["path_params"][alias]

        return take

    def fill(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        arguments[name], found = validate(request.scope["path_params"][alias], loc=location)
        errors += found

    return fill


def _defaults(fields: Sequence[Any]) -> dict[str, Any]:
    defaults = {field.name: field.get_default() for field in fields}
    if PydanticUndefined in defaults.values():
        raise TypeError("a compiled route's query and header parameters must have defaults")
    return defaults


def _query_parameters(fields: Sequence[Any]) -> Fill:
    defaults = _defaults(fields)

    @lru_cache(KEPT_QUERIES)
    def read(query: bytes) -> tuple[dict[str, Any], Errors]:
        values, errors = defaults.copy(), []
        given = _parse(query.decode("latin-1"))
        for field in fields:
            if field.alias in given:
                values[field.name], found = field.validate(given[field.alias], loc=("query", field.alias))
                errors += found
        return values, errors

    def fill(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        values, found = read(request.scope["query_string"])
        arguments.update(values)
        errors += found

    return fill


def _parse(query: str) -> dict[str, str]:
    """The last value of each name; what has nothing to decode takes a shorter way to the same result."""
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    return {name: value for name, _, value in [piece.partition("=") for piece in query.split("&") if piece]}


def _header_parameters(fields: Sequence[Any]) -> Fill:
    defaults = _defaults(fields)
    fields_by_header = {field.alias.lower().encode(): field for field in fields}

    def fill(request: Request, arguments: dict[str, Any], errors: Errors) -> None:
        arguments.update(defaults)
        given: dict[bytes, bytes] = {}
        for name, value in request.scope["headers"]:
            if name in fields_by_header:  # several lines of one header are one list (RFC 9110 §5.3)
                given[name] = given[name] + b", " + value if name in given else value
        for name, value in given.items():
            field = fields_by_header[name]
            arguments[field.name], found = field.validate(value.decode("latin-1"), loc=("header", field.alias))
            errors += found

    return fill
