"""The OpenAPI document is true: every path in it is driven and held to it."""

from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from rensei_daemon.local_platform import daemon_routes, openapi, worker_routes
from rensei_daemon.local_platform.running import RunningPlatform

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

EXAMPLES: dict[str, Any] = {
    "registrationToken": "KEY",
    "hostname": "h1",
    "maxAgents": 1,
    "capacity": 1,
    "workerId": "WORKER",
    "worker_id": "WORKER",
    "activeSessions": 0,
    "activeCount": 0,
    "orgId": "org_acme",
    "projectId": "proj_a",
    "kind": "github",
    "workerHostId": "HOST",
    "mutation_id": "MUTATION",
    "sessionId": "build",
    "op": "project.remove",
    "params": {"id": "proj_a"},
    "status": "idle",
}
KINDS: dict[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
OPERATIONS = [
    (method, path)
    for path, item in openapi.DOCUMENT["paths"].items()
    for method in item
    if not path.endswith("rotate-stream")
]


def fits(value: Any, schema: dict[str, Any], where: str = "answer") -> None:
    """Hold a value to its schema: no key missing, none unheard of."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(isinstance(value, KINDS[name]) for name in types), where
    if "enum" in schema:
        assert value in schema["enum"], where
    if isinstance(value, list):
        for item in value:
            fits(item, schema["items"], f"{where}[]")
    if "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), where
        for name, item in value.items():
            fits(item, schema["properties"][name], f"{where}.{name}")


def filled(value: Any, ids: dict[str, str]) -> Any:
    """Put the ids of this platform into an example."""
    return ids.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def ids(platform: RunningPlatform, key: str, worker: dict[str, Any]) -> dict[str, str]:
    """The ids and bearers that requests are made with."""
    state = platform.state
    state.set_credential("acme", "github", "TOKEN", "ghp_abc")
    state.set_host_status("h1", "ok", recommended_action="", candidate_pool_ids=[])
    return {
        "KEY": key,
        "TOKEN": worker["runtimeToken"],
        "WORKER": worker["workerId"],
        "HOST": state.host("h1").id,
        "MUTATION": state.enqueue("h1", "project.remove", {"id": "proj_a"}).id,
    }


async def ask(
    call: Call, method: str, path: str, ids: dict[str, str], security: list[str]
) -> httpx.Response:
    """Ask as the document says, with the first of the bearers it allows."""
    operation = openapi.DOCUMENT["paths"][path][method]
    body, query = None, {}
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", filled(EXAMPLES[name], ids))
        elif parameter["required"]:
            query[name] = filled(EXAMPLES[name], ids)
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        names = [name for name in schema["properties"] if name in EXAMPLES]
        assert set(schema["required"]) <= set(names)
        body = {name: filled(EXAMPLES[name], ids) for name in names}
    bearers = {"apiKey": ids["KEY"], "runtimeToken": ids["TOKEN"]}
    bearer = bearers[security[0]] if security else None
    return await call(method, path, bearer, body, params=query)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_every_answer_is_as_documented(
    call: Call, ids: dict[str, str], method: str, path: str
) -> None:
    """Each bearer a path names is taken, and the answer has the keys it names."""
    operation = openapi.DOCUMENT["paths"][path][method]
    for scheme in operation["security"] or [{}]:
        answer = await ask(call, method, path, ids, list(scheme))
        assert answer.status_code == 200
        content = operation["responses"]["200"]["content"]
        fits(answer.json(), content["application/json"]["schema"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_no_answer_without_a_bearer(
    call: Call, ids: dict[str, str], method: str, path: str
) -> None:
    """Each path that asks for a bearer documents, and gives, a 401 without one."""
    operation = openapi.DOCUMENT["paths"][path][method]
    if not operation["security"]:
        ids["KEY"] = "rsk_live_nobody"
    answer = await ask(call, method, path, ids, [])
    assert answer.status_code == 401
    content = operation["responses"]["401"]["content"]
    fits(answer.json(), content["application/json"]["schema"])


async def test_the_late_cancel_is_as_documented(call: Call, ids: dict[str, str]) -> None:
    """The one error that looks different is documented as it is."""
    beat = "/api/workers/{worker_id}/heartbeat"
    await ask(call, "post", beat, ids, ["apiKey"])
    path = "/api/daemon/mutations/{mutation_id}"
    answer = await ask(call, "delete", path, ids, ["apiKey"])
    assert answer.status_code == 409
    responses = openapi.DOCUMENT["paths"][path]["delete"]["responses"]
    fits(answer.json(), responses["409"]["content"]["application/json"]["schema"])


async def test_the_document_is_served(call: Call) -> None:
    """Anyone may read it."""
    assert (await call("GET", "/api/openapi.json")).json() == openapi.DOCUMENT


def test_every_public_route_is_documented() -> None:
    """The document names exactly the routes of the public wire."""
    routes: list[Route] = [*worker_routes.ROUTES, *daemon_routes.ROUTES]
    served = {
        (method.lower(), route.path)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    documented = {
        (method, path)
        for path, item in openapi.DOCUMENT["paths"].items()
        for method in item
    }
    assert documented == served
