"""The control API's rules: who may write, which route is meant, what a no looks like."""

import json
from typing import Any

import pytest

from rensei_daemon.control_api.schema import Endpoint
from rensei_daemon.control_api.wire import (
    Handler,
    Request,
    Response,
    Routes,
    encode,
    find_route,
    refuse_for,
)
from rensei_daemon.errors import (
    ControlRefusedError,
    DeliveryError,
    InvalidMutationError,
    NotPermittedError,
    RefusedError,
    RenseiError,
    SettingsError,
    StateInUseError,
    StorageError,
    TransientError,
    UnauthorizedError,
    UsageError,
)


def _handler(name: str) -> Handler:
    async def handler(request: Request) -> Any:
        return name

    return handler


LIST, SHOW, LATEST, CANCEL = (_handler(name) for name in ("l", "s", "n", "c"))
ROUTES: Routes = {
    ("GET", "/v1/mutations"): LIST,
    ("GET", "/v1/mutations/{id}"): SHOW,
    ("GET", "/v1/mutations/latest"): LATEST,
    ("DELETE", "/v1/mutations/{id}"): CANCEL,
}


@pytest.mark.parametrize(
    ("method", "target", "handler", "path", "query"),
    [
        ("GET", "/v1/mutations", LIST, {}, {}),
        ("GET", "/v1/mutations?last=5&op=", LIST, {}, {"last": "5", "op": ""}),
        ("GET", "/v1/mutations/dmut_1", SHOW, {"id": "dmut_1"}, {}),
        ("GET", "/v1/mutations/a%2Fb%20c", SHOW, {"id": "a/b c"}, {}),
        ("GET", "/v1/mutations/latest", LATEST, {}, {}),
        ("DELETE", "/v1/mutations/latest", CANCEL, {"id": "latest"}, {}),
    ],
)
def test_a_route_is_found_with_what_it_was_given(
    method: str, target: str, handler: Handler, path: dict[str, str], query: dict[str, str]
) -> None:
    """Spelt-out routes win; parameters arrive unquoted."""
    found = find_route(ROUTES, method, target)
    assert not isinstance(found, Response)
    assert found[0] is handler
    assert found[1:] == (path, query)


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/v1/mutations/", 404, ()),
        ("GET", "/v1", 404, ()),
        ("GET", "*", 404, ()),
        ("GET", "//v1/mutations", 404, ()),
        ("GET", "/v1/mutations/a/b", 404, ()),
        ("POST", "/v1/mutations", 405, ("GET",)),
        ("HEAD", "/v1/mutations/dmut_1", 405, ("DELETE", "GET")),
    ],
)
def test_what_is_not_there_is_refused(
    method: str, target: str, status: int, allow: tuple[str, ...]
) -> None:
    """A wrong path is 404, a wrong method 405 with those that work."""
    found = find_route(ROUTES, method, target)
    assert isinstance(found, Response)
    assert (found.status, found.allow) == (status, allow)
    assert set(found.body) == {"error", "hint", "exit_code"}


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (UsageError("e"), 400, 64),
        (NotPermittedError("e"), 403, 77),
        (SettingsError("e"), 422, 78),
        (InvalidMutationError("e"), 422, 1),
        (StateInUseError("e"), 409, 75),
        (TransientError("e"), 504, 69),
        (UnauthorizedError("e"), 502, 77),
        (RefusedError("e", status=404, detail=""), 502, 69),
        (StorageError("e"), 500, 1),
        (DeliveryError("e"), 500, 1),
        (ControlRefusedError("e"), 500, 1),
    ],
)
def test_an_error_becomes_a_status_and_an_exit_code(
    error: RenseiError, status: int, exit_code: int
) -> None:
    """Whose fault it is can be told from either."""
    error.hint = "h"
    body = {"error": "e", "hint": "h", "exit_code": exit_code}
    assert refuse_for(error) == Response(status, body)


def test_an_answer_is_spelt_as_the_last_on_its_connection() -> None:
    """Length in bytes, JSON in ASCII, and the connection closes."""
    assert encode(Response(200, {"ü": None})) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 15\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b'{"\\u00fc":null}'
    )


def test_json_alone_is_spelt() -> None:
    """An answer that JSON cannot spell is our mistake, and shows as one."""
    with pytest.raises(TypeError):
        encode(Response(200, json))


def test_an_endpoint_gets_its_parameters_and_query_quoted() -> None:
    """What a user typed as an id cannot name another path."""
    show: Endpoint[Any] = Endpoint("GET", "/v1/mutations/{id}")
    assert show.at(id="a/b ?") == ("GET", "/v1/mutations/a%2Fb%20%3F")
    changes: Endpoint[Any] = Endpoint("GET", "/v1/changes")
    assert changes.at({"limit": 5, "before": "a&b"}) == (
        "GET",
        "/v1/changes?limit=5&before=a%26b",
    )
