"""What protects the console in a browser: headers, the cookie, and whose a form is."""

from collections.abc import Awaitable, Callable
from hmac import compare_digest

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rensei_platform.errors import ForbiddenError
from rensei_platform.services.console_sessions import Session
from rensei_platform.services.known_browsers import KNOWN_FOR

PATH = "/console"
TLS_COOKIE = "__Host-rensei-console"
"""The browser takes it over TLS only, and from no other host; its path has to be /."""
PLAIN_COOKIE = "rensei_console"
TLS_KNOWN_COOKIE = "__Secure-rensei-known"
PLAIN_KNOWN_COOKIE = "rensei_known"
CSRF_FIELD = "csrf_token"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}

SendHeaders = Callable[[Message], Awaitable[None]]


class SecurityHeaders:
    """The pages inside, each with the headers that browsers heed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, to this server or to its proxy."""
    return request.url.scheme == "https"


def cookie_of(request: Request) -> str | None:
    """Return the text of the session's cookie. None if there is none."""
    return request.cookies.get(TLS_COOKIE if is_tls(request) else PLAIN_COOKIE)


def set_cookie(request: Request, response: Response, text: str) -> None:
    """Have the browser keep a session until it is closed; the server ends it sooner."""
    if is_tls(request):
        response.set_cookie(
            TLS_COOKIE, text, path="/", secure=True, httponly=True, samesite="strict"
        )
    else:
        response.set_cookie(PLAIN_COOKIE, text, path=PATH, httponly=True, samesite="strict")


def drop_cookie(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    if is_tls(request):
        response.delete_cookie(
            TLS_COOKIE, path="/", secure=True, httponly=True, samesite="strict"
        )
    else:
        response.delete_cookie(PLAIN_COOKIE, path=PATH, httponly=True, samesite="strict")


def known_of(request: Request) -> str | None:
    """Return what the browser has kept of an earlier sign-in. None if it has nothing."""
    return request.cookies.get(TLS_KNOWN_COOKIE if is_tls(request) else PLAIN_KNOWN_COOKIE)


def set_known(request: Request, response: Response, text: str) -> None:
    """Have the browser keep that somebody has signed in with it."""
    response.set_cookie(
        TLS_KNOWN_COOKIE if is_tls(request) else PLAIN_KNOWN_COOKIE,
        text,
        path=f"{PATH}/sign-in",
        max_age=int(KNOWN_FOR.total_seconds()),
        secure=is_tls(request),
        httponly=True,
        samesite="strict",
    )


def require_same_origin(request: Request) -> None:
    """Raise ForbiddenError unless a page of this server sent the form.

    A browser says so in Sec-Fetch-Site; one that does not yet names the origin.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_own = site == "same-origin"
    else:
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        is_own = request.headers.get("origin") == own
    if not is_own:
        raise ForbiddenError("The form was sent by a page of another site")


def require_token(session: Session, form: dict[str, str]) -> None:
    """Raise ForbiddenError unless a form has the token of its session."""
    given = form.get(CSRF_FIELD, "").encode()
    if not compare_digest(given, session.csrf_token.encode()):
        raise ForbiddenError("The form is from another session; load the page again")
