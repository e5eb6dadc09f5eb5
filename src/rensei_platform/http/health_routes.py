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

READY_SECONDS = 2.0
"""For the database's answer to /readyz."""


async def healthz(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET /healthz: the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """GET /readyz: the database and the other servers are in reach; 503 if not."""
    platform = platform_of(request)
    with anyio.move_on_after(READY_SECONDS):
        platform.availability.require()
        await platform.store.ping()
        return answer({"ready": True})
    raise UnavailableError


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
