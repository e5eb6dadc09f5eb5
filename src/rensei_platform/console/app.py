"""The console as a web application of its own below /console."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rensei_platform.console import (
    access_pages,
    audit_pages,
    credential_pages,
    events,
    host_pages,
    people_pages,
)
from rensei_platform.console.pages import Visit, address, own_path, render
from rensei_platform.console.security import SecurityHeaders
from rensei_platform.console.static_files import static_file
from rensei_platform.errors import PlatformError
from rensei_platform.services.console_sessions import Session
from rensei_platform.services.platform import Platform
from rensei_platform.services.refusals import Refusal

ROUTES = (
    *access_pages.ROUTES,
    *host_pages.ROUTES,
    *credential_pages.ROUTES,
    *audit_pages.ROUTES,
    *people_pages.ROUTES,
    *events.ROUTES,
    Route("/static/{digest}/{name}", static_file, methods=["GET"]),
)
_COUNTED = (401, 403, 429)
"""Refusals that the audit records."""


def build_console(platform: Platform) -> ASGIApp:
    """Return the application of the console."""
    app = Starlette(
        routes=list(ROUTES),
        exception_handlers={
            PlatformError: _refused,
            HTTPException: _http_error,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    app.state.platform = platform
    app.state.count = count
    app.state.streams = events.OpenStreams()
    return SecurityHeaders(app)


def count(request: Request, error: PlatformError) -> None:
    """Count a refusal for the audit."""
    if error.status not in _COUNTED:
        return
    session: Session | None = getattr(request.state, "session", None)
    platform: Platform = request.app.state.platform
    platform.refusals.count(
        Refusal(
            session.caller.org_id if session else None,
            session.caller.name if session else "unknown",
            session.caller.key_id if session else None,
            getattr(request.scope.get("endpoint"), "__name__", "none"),
            error.status,
            address(request),
        )
    )


def _page(request: Request, status: int, message: str) -> Response:
    session: Session | None = getattr(request.state, "session", None)
    visit = Visit(request, session) if session else None
    template = "away.html" if status == HTTPStatus.SERVICE_UNAVAILABLE else "error.html"
    return render(
        request,
        template,
        status=status,
        visit=visit,
        code=status,
        message=message,
        is_form=request.method == "POST",
        here=own_path(request),
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)  # noqa: S101 - registered for nothing else
    count(request, error)
    response = _page(request, error.status, str(error))
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    response = _page(request, error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return _page(request, 500, "Internal server error")
