"""The OpenAPI document says what the server does.

Every answer that the tests of this directory get is held against it as well:
tests/support/openapi_check.py.
"""

import json
from importlib import resources

import httpx
import pytest
from databases import one_database
from jsonschema_rs import Draft202012Validator
from openapi_check import DOCUMENT, check, operations
from platform_server import Server
from starlette.routing import Mount, Route

from rensei_platform.http.app import build_app


@one_database
async def test_every_route_is_described_and_nothing_else(server: Server) -> None:
    """By method and path; the operation has the name that metrics call it."""
    routes = set()
    for route in build_app(server.platform).routes:
        assert isinstance(route, Mount | Route)
        if isinstance(route, Mount) or not route.include_in_schema:
            assert route.path == "/console"  # pages, which are no part of the API
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            routes.add((method, route.path, route.endpoint.__name__))
    described = {
        (method, path, operation["operationId"].removesuffix("_post"))
        for method, path, operation in operations()
    }
    assert described == routes


def test_the_schemas_are_schemas() -> None:
    """Each one compiles, and nothing is defined that is not used."""
    text = json.dumps(DOCUMENT)
    for section in ("schemas", "responses", "parameters"):
        for name in DOCUMENT["components"][section]:
            assert f'"#/components/{section}/{name}"' in text, name
    for name in DOCUMENT["components"]["schemas"]:
        Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        )


@one_database
async def test_the_document_is_served(server: Server) -> None:
    """As it is in the package, to anybody."""
    answer = await server.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    file = resources.files("rensei_platform.http") / "openapi.json"
    assert answer.content == file.read_bytes()


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (200, b'{"ready": true, "more": 1}', "disagrees"),
        (200, b'{"ready": 1}', "disagrees"),
        (201, b'{"ready": true}', "status"),
        (503, b'{"error": "x"}', "Retry-After"),
    ],
)
async def test_a_wrong_answer_is_noticed(status: int, content: bytes, told: str) -> None:
    """A field, a type, a status or a header that the document does not have."""
    request = httpx.Request("GET", "http://localhost/readyz")
    headers = {"content-type": "application/json"}
    answer = httpx.Response(status, content=content, headers=headers, request=request)
    with pytest.raises(AssertionError, match=told):
        await check(answer)


async def test_a_request_that_the_document_lacks_is_noticed() -> None:
    """A success without an operation, or with a parameter that it does not have."""
    for url, told in (("/nowhere", "not in"), ("/readyz?deep=1", "parameters")):
        request = httpx.Request("GET", f"http://localhost{url}")
        answer = httpx.Response(200, json={"ready": True}, request=request)
        with pytest.raises(AssertionError, match=told):
            await check(answer)
