"""Signing in and out, setting a password, and a person's own sessions."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_platform.console.forms import read_form
from rensei_platform.console.pages import (
    Visit,
    address,
    platform_of,
    render,
    see_other,
    shows,
    takes,
)
from rensei_platform.console.security import (
    drop_cookie,
    known_of,
    require_same_origin,
    set_cookie,
    set_known,
)
from rensei_platform.errors import RequestError
from rensei_platform.services import console_sessions, users
from rensei_platform.services.known_browsers import issue

HOME = "/console/hosts"


async def home(visit: Visit) -> Response:  # noqa: ARG001 - the signature of a page
    """GET /console/: the first page."""
    return see_other(HOME)


async def sign_in_page(request: Request) -> Response:
    """GET /console/sign-in?next=PATH."""
    return render(request, "sign_in.html", next=_next(request.query_params.get("next")))


async def sign_in(request: Request) -> Response:
    """POST /console/sign-in: with an address and a password, or with a key."""
    require_same_origin(request)
    form = await read_form(request)
    platform, where = platform_of(request), _next(form.get("next"))
    email = form.get("email", "").strip()
    try:
        if form.get("key"):
            cookie = await console_sessions.sign_in_with_key(
                platform, form["key"].strip(), address(request)
            )
        else:
            cookie = await console_sessions.sign_in(
                platform,
                email,
                form.get("password", ""),
                address(request),
                known_of(request),
            )
    except RequestError as error:
        request.app.state.count(request, error)
        message = _reason(error, with_key=bool(form.get("key")))
        answer = render(
            request,
            "sign_in.html",
            status=error.status,
            next=where,
            error=message,
            email=email,
        )
        _add_retry_after(answer, error)
        return answer
    answer = see_other(where)
    set_cookie(request, answer, cookie)
    if not form.get("key"):
        set_known(request, answer, issue(platform.sealer, email, platform.now()))
    return answer


def _reason(error: RequestError, *, with_key: bool) -> str:
    if error.status == 401 and with_key:
        return "The key is not valid."
    if error.status == 403 and with_key:
        return "This key may not look: it is a host's."
    return str(error)


def _add_retry_after(response: Response, error: RequestError) -> None:
    seconds = getattr(error, "retry_after_seconds", None)
    if seconds is not None:
        response.headers["retry-after"] = str(seconds)


def _next(path: str | None) -> str:
    """Return where to go after signing in: a page of the console, and nowhere else."""
    is_ours = path is not None and path.startswith("/console/") and "//" not in path
    if path is None or not is_ours or not path.isascii() or "\\" in path:
        return HOME
    return path if path.isprintable() and "sign-in" not in path else HOME


async def password_page(request: Request) -> Response:
    """GET /console/password: where a link to set a password leads.

    The link's secret stands behind `#`, which browsers do not send.
    """
    return render(request, "password.html")


async def set_password(request: Request) -> Response:
    """POST /console/password: with a link, which can be used once."""
    require_same_origin(request)
    form = await read_form(request)
    link, password = form.get("link", "").strip(), form.get("password", "")
    platform, error, status, email = platform_of(request), "", 400, ""
    if password != form.get("again"):
        error = "The two passwords differ."
    else:
        try:
            email = await users.set_password(platform, link, password, address(request))
        except RequestError as refused:
            request.app.state.count(request, refused)
            error, status = str(refused), refused.status
    if error:
        return render(request, "password.html", status=status, error=error, link=link)
    answer = see_other("/console/sign-in", done="password")
    set_known(request, answer, issue(platform.sealer, email, platform.now()))
    return answer


async def sign_out(visit: Visit) -> Response:
    """POST /console/sign-out."""
    await console_sessions.sign_out(visit.platform, visit.session)
    return _signed_out(visit, "signed-out")


async def sign_out_everywhere(visit: Visit) -> Response:
    """POST /console/sign-out-everywhere."""
    await console_sessions.sign_out_everywhere(visit.platform, visit.session)
    return _signed_out(visit, "signed-out-everywhere")


def _signed_out(visit: Visit, done: str) -> Response:
    answer = see_other("/console/sign-in", done=done)
    drop_cookie(visit.request, answer)
    return answer


async def account(visit: Visit) -> Response:
    """GET /console/account: who is signed in, and for which organization."""
    found = await console_sessions.organizations(visit.platform, visit.session)
    return visit.page("account.html", organizations=found)


async def use_organization(visit: Visit) -> Response:
    """POST /console/organization: look at another one."""
    await console_sessions.use_organization(
        visit.platform, visit.session, visit.form.get("org", "")
    )
    return see_other(HOME)


ROUTES = (
    shows("/", home),
    Route("/sign-in", sign_in_page, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/password", password_page, methods=["GET"]),
    Route("/password", set_password, methods=["POST"]),
    takes("/sign-out", sign_out, page="/hosts"),
    takes("/sign-out-everywhere", sign_out_everywhere, page="/hosts"),
    shows("/account", account),
    takes("/organization", use_organization, page="/account"),
)
