"""The platform as a web application: its routes, and how a refusal looks."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rensei_daemon.local_platform import daemon_routes, worker_routes
from rensei_daemon.local_platform.refusal import RefusalError
from rensei_daemon.local_platform.state import State


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    assert isinstance(error, RefusalError)  # noqa: S101 - registered for nothing else
    return _error(error.status, error.message)


async def _http_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return _error(error.status_code, error.detail)


async def _broken(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return _error(500, "Internal server error")


def build_app(state: State) -> Starlette:
    """Return the application that serves `state`."""
    app = Starlette(
        routes=[*worker_routes.ROUTES, *daemon_routes.ROUTES],
        exception_handlers={
            RefusalError: _refused,
            HTTPException: _http_error,
            Exception: _broken,
        },
    )
    app.state.platform = state
    return app
