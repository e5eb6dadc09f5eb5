"""Requests of a browser, and the pages that answer them."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from rensei_platform.console import plots
from rensei_platform.console.forms import kept_fields, read_form
from rensei_platform.console.security import (
    PATH,
    cookie_of,
    require_same_origin,
    require_token,
)
from rensei_platform.console.static_files import static_path
from rensei_platform.console.text import age, clock, cut, finalize, span
from rensei_platform.errors import UnauthorizedError
from rensei_platform.rules.callers import Caller, Role
from rensei_platform.services.console_sessions import Session, session_of
from rensei_platform.services.platform import Platform
from rensei_platform.version import version

MOST_KEPT = 4000
"""Characters of what was typed, as an address spells them: proxies take 8 KiB."""
_ACTING = (Role.OWNER, Role.ADMIN)

templates = Environment(
    loader=PackageLoader("rensei_platform.console"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    finalize=finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {"cut": cut, "clock": clock, "age": age, "span": span}
templates.globals |= {
    "static": static_path,
    "version": version,
    "plots": plots,
    "segment": lambda text: quote(text, safe=""),
    "query": urlencode,
    "own_path": lambda visit: own_path(visit.request),
}

NOTICES = {
    "sent": "The change is on its way: the host takes it with its next heartbeat.",
    "cancelled": "Cancelled. The host never sees it.",
    "delivered": "Too late: it was delivered already. Ask for the opposite instead.",
    "rotated": "Every live session that sees the values was notified.",
    "revoked": "The key is revoked, and its streams end.",
    "removed": "The user is removed; their keys are revoked.",
    "role": "The role is changed.",
    "signed-out": "You are signed out.",
    "signed-out-everywhere": "You are signed out everywhere.",
    "password": "The password is set. Sign in with it.",
    "ended": "Your session has ended. Sign in again.",
}
"""What a page says after something was done: an address names one, and holds no text."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in."""

    request: Request
    session: Session
    form: dict[str, str] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        """The resources of the server."""
        return platform_of(self.request)

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.session.caller

    @property
    def may_act(self) -> bool:
        """Whether forms that change something are shown; the services check it again."""
        return self.caller.role in _ACTING

    @property
    def now(self) -> datetime:
        """The time."""
        return self.platform.now()

    def path(self, name: str) -> str:
        """Return a part of the path."""
        value: str = self.request.path_params[name]
        return value

    def query(self, name: str) -> str:
        """Return a field of the query; empty if absent."""
        return self.request.query_params.get(name, "").strip()

    def page(self, template: str, *, status: int = 200, **content: Any) -> Response:
        """Return a page."""
        return render(self.request, template, status=status, visit=self, **content)


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def platform_of(request: Request) -> Platform:
    """Return the resources of the server that has the request."""
    platform: Platform = request.app.state.platform
    return platform


def address(request: Request) -> str:
    """Return the address that the request came from."""
    return request.client.host if request.client else ""


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    visit: Visit | None = None,
    **content: Any,
) -> Response:
    """Return a page; `visit` is None if nobody is signed in."""
    notice = NOTICES.get(request.query_params.get("done", ""))
    now = platform_of(request).now()
    text = templates.get_template(template).render(
        visit=visit, notice=notice, now=now, **content
    )
    return HTMLResponse(text, status)


def see_other(path: str, **query: str) -> Response:
    """Send the browser on, with GET."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


def shows(path: str, handler: Handler) -> Route:
    """Return the route of a page for who is signed in; others are sent to sign in."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        try:
            visit = Visit(request, await _session(request))
        except UnauthorizedError:
            done = {"done": "ended"} if cookie_of(request) else {}
            return see_other("/console/sign-in", next=own_path(request), **done)
        return await handler(visit)

    return Route(path, endpoint, methods=["GET"])


def takes(path: str, handler: Handler, *, page: str | None = None) -> Route:
    """Return the route of a form: of our page, in the session that it was shown to.

    `page` has the path of the page that the form is on, unless that is `path`: who has to
    sign in again comes back to it, with the fields of the form that an address may hold.
    """

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        require_same_origin(request)
        try:
            session = await _session(request)
        except UnauthorizedError:
            parts = {name: quote(text, "") for name, text in request.path_params.items()}
            there = PATH + (page or path).format_map(parts)
            kept = urlencode(kept_fields(await read_form(request)))
            if kept and len(kept) <= MOST_KEPT:
                there += f"?{kept}"
            return see_other(f"{PATH}/sign-in", done="ended", next=there)
        form = await read_form(request)
        require_token(session, form)
        return await handler(Visit(request, session, form))

    return Route(path, endpoint, methods=["POST"])


async def _session(request: Request) -> Session:
    session = await session_of(platform_of(request), cookie_of(request), address(request))
    request.state.session = session  # whom a refusal is counted for
    return session


def own_path(request: Request) -> str:
    """Return the path of a request as a browser writes it, with its query."""
    # The path comes decoded: an address may have what means something else in a path.
    path, query = quote(request.scope["path"]), request.url.query
    return f"{path}?{query}" if query else path
