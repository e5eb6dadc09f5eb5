"""The control plane as a web application, and how an error looks on the wire."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Mount, Route

from rensei_platform.console.app import build_console
from rensei_platform.errors import PlatformError
from rensei_platform.http import (
    admin_routes,
    daemon_routes,
    health_routes,
    provider_routes,
    rotation_routes,
    user_routes,
    worker_routes,
)
from rensei_platform.http.host_header import KnownHosts
from rensei_platform.http.metrics import Measured, Metrics
from rensei_platform.http.requests import address, answer, refusal
from rensei_platform.http.shedding import Backlog, Shedding
from rensei_platform.http.strict_transport import StrictTransport
from rensei_platform.rules.callers import Caller
from rensei_platform.services.platform import Platform
from rensei_platform.services.refusals import Refusal


def build_app(platform: Platform, backlog: Backlog | None = None) -> Starlette:
    """Return the application that serves a platform.

    With `backlog`, which somebody watches, it refuses what it cannot answer soon.
    """
    metrics = Metrics(platform.hub, platform.values.resolver, platform.tally)
    app = Starlette(
        routes=[
            *worker_routes.ROUTES,
            *daemon_routes.ROUTES,
            *admin_routes.ROUTES,
            *rotation_routes.ROUTES,
            *user_routes.ROUTES,
            *provider_routes.ROUTES,
            *health_routes.ROUTES,
            Route("/console", open_console, methods=["GET"], include_in_schema=False),
            Mount("/console", build_console(platform)),
        ],
        middleware=[
            Middleware(StrictTransport),
            Middleware(Measured, metrics=metrics),
            *([Middleware(Shedding, backlog=backlog)] if backlog else []),
            Middleware(KnownHosts, names=platform.settings.host_names),
        ],
        exception_handlers={
            PlatformError: _refused,
            HTTPException: _http_error,
            Exception: _failed,
        },
    )
    # A path with a slash too many is unknown here, not somewhere else.
    app.router.redirect_slashes = False
    app.state.platform = platform
    app.state.metrics = metrics
    return app


async def open_console(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET /console: its first page has a path with a slash."""
    return RedirectResponse("/console/")


_COUNTED = (401, 403, 429)
"""Refusals that the audit records."""


def _count(request: Request, status: int) -> None:
    caller: Caller | None = getattr(request.state, "caller", None)
    platform: Platform = request.app.state.platform
    platform.refusals.count(
        Refusal(
            caller.org_id if caller else None,
            caller.name if caller else "unknown",
            caller.key_id if caller else None,
            getattr(request.scope.get("endpoint"), "__name__", "none"),
            status,
            address(request),
        )
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)  # noqa: S101 - registered for nothing else
    if error.status in _COUNTED:
        _count(request, error.status)
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    response = answer({"error": error.detail}, status=error.status_code)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """Return the methods of a path; each of its routes knows its own alone."""
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return answer({"error": "Internal server error"}, status=500)
