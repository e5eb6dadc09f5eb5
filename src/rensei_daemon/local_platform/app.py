"""The platform as a web application: its routes, and how a refusal looks."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_daemon.local_platform import (
    daemon_routes,
    lab_routes,
    openapi,
    wire,
    worker_routes,
)
from rensei_daemon.local_platform.refusal import RefusalError
from rensei_daemon.local_platform.state import State


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    assert isinstance(error, RefusalError)  # noqa: S101 - registered for nothing else
    return wire.answer({"error": error.message}, status=error.status)


async def _http_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    response = wire.answer({"error": error.detail}, status=error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _broken(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return wire.answer({"error": "Internal server error"}, status=500)


async def _openapi(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    return wire.answer(openapi.DOCUMENT)


def build_app(state: State) -> Starlette:
    """Return the application that serves `state`."""
    app = Starlette(
        routes=[
            *worker_routes.ROUTES,
            *daemon_routes.ROUTES,
            *lab_routes.ROUTES,
            daemon_routes.LOGIN,
            Route("/api/openapi.json", _openapi),
        ],
        exception_handlers={
            RefusalError: _refused,
            HTTPException: _http_error,
            Exception: _broken,
        },
    )
    # A path with a slash too many is unknown here, not somewhere else.
    app.router.redirect_slashes = False
    app.state.platform = state
    return app
