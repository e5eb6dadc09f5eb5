"""What supervisors and Prometheus ask: alive, ready, and numbers; nothing of a tenant.

And the OpenAPI document of everything that can be asked.
"""

from importlib import resources

import anyio
from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rensei_platform.errors import UnavailableError
from rensei_platform.http.metrics import Metrics
from rensei_platform.http.requests import answer, platform_of
from rensei_platform.services.platform import Platform
from rensei_platform.store.trouble import UNREACHABLE, Trouble

RETRY_AFTER_SECONDS = 5
READY_SECONDS = 2.0
"""For the database's answer to /readyz."""

_UNHEARD = Trouble(
    "unheard",
    "The connection that hears of the other servers is lost.",
    "Check that PostgreSQL runs, and that `listen_url` leads to it without a pooler.",
)


async def healthz(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET /healthz: the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """GET /readyz: the database and the other servers are in reach; 503 and what to do."""
    platform = platform_of(request)
    try:
        with anyio.fail_after(READY_SECONDS):
            platform.availability.require()
            await platform.store.ping()
        problem, retry_after = platform.store.troubles.advice, RETRY_AFTER_SECONDS
    except (UnavailableError, TimeoutError) as error:
        problem = platform.store.troubles.advice or _unexplained(platform)
        retry_after = getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS)
    if problem:
        raise UnavailableError(problem, retry_after_seconds=retry_after)
    return answer({"ready": True})


def _unexplained(platform: Platform) -> str:
    found = UNREACHABLE if platform.bus.is_connected else _UNHEARD
    return f"{found.message} {found.hint}"


async def metrics(request: Request) -> Response:
    """GET /metrics: in the text format of Prometheus."""
    found: Metrics = request.app.state.metrics
    text = generate_latest(found.registry)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def openapi(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET /openapi.json: the description of every call."""
    document = resources.files("rensei_platform.http").joinpath("openapi.json").read_bytes()
    return Response(document, media_type="application/json")


ROUTES = (
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
    Route("/openapi.json", openapi, methods=["GET"]),
)
