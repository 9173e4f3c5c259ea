"""From a path to the resource it names, and from a request to the route that serves it.

A resource is found by the path's segments, each of them decoded: a user's id may contain a slash.
Planned routes are called at once; every other route is FastAPI's router's to serve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.planned.route import Plan, PlannedRoute


@dataclass(slots=True)
class Resource:
    """What one path template names: its template, and what serves each method.

    None is FastAPI's router.
    """

    template: str
    plans: dict[str, "Planned | None"] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The value of ``Allow`` (RFC 9110 §10.2.1)."""
        return ", ".join(sorted({*self.plans, *(["HEAD"] if "GET" in self.plans else [])}))


class Dispatch:
    """An ASGI application: the routes of another one, with a shorter way to those that are planned.

    Args:
        app: FastAPI's router.
        routes: the routes of the application.
        aliases: further templates of planned paths, by the template that they stand for.

    Raises:
        TypeError: a planned route cannot be planned.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], aliases: Mapping[str, str]) -> None:
        self._app = app
        self._paths: dict[int, list[_Paths]] = {}
        resources: dict[str, Resource] = {}
        for context in iter_route_contexts(routes):
            if context.path and ":" not in context.path:  # a converter may match several segments
                resource = resources.setdefault(context.path, Resource(context.path))
                planned = Planned.of(context)
                for method in context.methods or ():
                    resource.plans.setdefault(method, planned)
        for template, resource in resources.items():
            self._add(template, resource)
        for alias, template in aliases.items():
            self._add(alias, resources[template])

    def _add(self, template: str, resource: Resource) -> None:
        segments = template.split("/")
        literal = [position for position, segment in enumerate(segments) if not segment.startswith("{")]
        parameters = [position for position in range(len(segments)) if position not in literal]
        names = [segments[position][1:-1] for position in parameters]
        of_this_length = self._paths.setdefault(len(segments), [])
        paths = next((paths for paths in of_this_length if paths.literal == literal), None)
        if paths is None:
            paths = _Paths(literal, itemgetter(*literal))
            of_this_length.append(paths)
        paths.resources.setdefault(paths.pick(segments), (resource, names, _values_at(parameters)))

    def find(self, segments: Sequence[str], scope: Scope) -> Resource | None:
        """The resource of a path.

        It goes into ``scope["resource"]``, its parameters into ``scope["path_params"]``.

        Where a segment may be literal or a parameter, the template that was added first wins.
        """
        for paths in self._paths.get(len(segments), ()):
            found = paths.resources.get(paths.pick(segments))
            if found is not None:
                resource, names, values_of = found
                values = values_of(segments)
                if "" not in values:
                    scope["resource"], scope["path_params"] = resource, dict(zip(names, values, strict=True))
                    return resource
        scope["resource"] = None
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose resource was found, or leave it to FastAPI's router.

        Raises:
            HTTPException: 405, with ``Allow``.
        """
        resource = scope["resource"]
        if resource is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] not in resource.plans:
            raise HTTPException(405, headers={"Allow": resource.allow})
        planned = resource.plans[scope["method"]]
        if planned is None or planned.overrides:
            del scope["path_params"]  # the router finds its own
            await self._app(scope, receive, send)
        else:
            scope["route"] = planned.route
            await planned.plan.serve(scope, receive, send)


@dataclass(slots=True)
class Planned:
    """A planned route.

    ``overrides`` is ``FastAPI.dependency_overrides``: while it holds any, FastAPI serves.
    """

    route: BaseRoute
    plan: Plan
    overrides: Mapping[Any, Any]

    @classmethod
    def of(cls, context: RouteContext) -> "Planned | None":
        """The plan of a route; None for one that is not a ``PlannedRoute``."""
        if not isinstance(context.original_route, PlannedRoute):
            return None
        overrides = getattr(context.dependency_overrides_provider, "dependency_overrides", {})
        return cls(context.original_route, Plan(context), overrides)


@dataclass(slots=True)
class _Paths:
    """Templates of one length whose literal segments stand in the same positions."""

    literal: list[int]
    pick: Callable[[Sequence[str]], Any]
    resources: dict[Any, tuple[Resource, list[str], "_Pick"]] = field(default_factory=dict)


_Pick = Callable[[Sequence[str]], Sequence[str]]


def _values_at(positions: Sequence[int]) -> _Pick:
    """What takes the segments in these positions out of a path."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda segments: [segments[position] for position in positions]
