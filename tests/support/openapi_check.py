"""The control plane's OpenAPI document, held against requests and their answers."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import unquote

import httpx
from jsonschema_rs import Draft202012Validator

DOCUMENT: dict[str, Any] = json.loads(
    (resources.files("rensei_platform.http") / "openapi.json").read_text()
)
METHODS = ("get", "put", "post", "delete", "patch")
_PARAMETER = re.compile(r"\\{[a-z_]+\\}")
"""Of a path, after `re.escape`."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation) of everything that the document describes."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


async def check(response: httpx.Response) -> None:
    """Raise AssertionError unless the document describes this request and its answer.

    A request that was refused may be anything; one that succeeded is a described one.
    """
    request = response.request
    if request.url.path.startswith("/console"):
        return  # pages, which are no part of the API
    where = f"{request.method} {request.url.path} {response.status_code}"
    operation = _operation(request.method, request.url.raw_path.partition(b"?")[0].decode())
    if operation is None:
        assert response.status_code in (404, 405), f"not in openapi.json: {where}"
        return
    described = _resolve(operation["responses"].get(str(response.status_code)))
    assert described is not None, f"a status that openapi.json does not have: {where}"
    for name, header in described.get("headers", {}).items():
        assert not header.get("required") or name in response.headers, f"{name}: {where}"
    await _check_content(response, described, where)
    if response.is_success:
        _check_request(request, operation, where)


async def _check_content(response: httpx.Response, described: Any, where: str) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0]
    content = described.get("content", {})
    assert kind in content or (not content and not kind), f"content type {kind}: {where}"
    if kind == "application/json":
        await response.aread()
        _validate(content[kind]["schema"], json.loads(response.content), where)


def _check_request(request: httpx.Request, operation: Any, where: str) -> None:
    if (described := operation.get("requestBody")) is not None:
        schema = described["content"]["application/json"]["schema"]
        _validate(schema, json.loads(request.content), f"body of {where}")
    names = {_resolve(one)["name"] for one in operation.get("parameters", ())}
    unknown = set(request.url.params) - names
    assert not unknown, f"parameters that openapi.json does not have: {unknown} {where}"


def _operation(method: str, path: str) -> Any:
    for known, template, operation in operations():
        if known == method and _pattern(template).fullmatch(unquote(path)):
            return operation
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub("[^/]+", re.escape(template)))


def _resolve(node: Any) -> Any:
    while node is not None and "$ref" in node:
        found: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _validate(schema: Any, value: Any, where: str) -> None:
    errors = [
        f"/{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
        for error in _validator(json.dumps(schema)).iter_errors(value)
    ]
    assert not errors, f"openapi.json disagrees with {where}: {errors}"


@cache
def _validator(schema: str) -> Draft202012Validator:
    whole = {**json.loads(schema), "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, validate_formats=True)
