"""GET /api/admin/providers: where credentials can come from; no address, no secret."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_platform.http.requests import answer, authenticated, platform_of
from rensei_platform.rules.callers import Access, require_access
from rensei_platform.rules.times import wire_time


async def list_providers(request: Request) -> Response:
    """GET /api/admin/providers: the instances that the organization may use."""
    caller = await authenticated(request)
    require_access(caller, Access.ADMIN)
    platform = platform_of(request)
    failures = platform.values.resolver.failures_of(caller.org_id)
    found = [
        {
            "name": one.name,
            "type": one.type,
            "prefix": one.prefix,
            "failures": [
                {
                    "kind": failure.error.kind,
                    "cause": failure.error.cause,
                    "at": wire_time(failure.at),
                }
                for failure in failures
                if failure.error.instance == one.name
            ],
        }
        for one in platform.registry.describe(caller.org_id)
    ]
    return answer({"providers": found})


ROUTES = (Route("/api/admin/providers", list_providers, methods=["GET"]),)
