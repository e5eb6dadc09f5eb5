"""The provider of 1Password Connect, against a server that answers as its API says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from small_http import Answer, Request, SmallServer, answer, small_server

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    ResolveError,
    SecretNotFoundError,
)
from rensei_platform.providers.onepassword import OnePasswordProvider
from rensei_platform.providers.options import Limits

TOKEN = "token-of-the-connect-tests"
CANARY = "canary-of-the-connect-tests"
VAULT, ITEM = "ftz4pm2xxwmwrsd7rjqn7grzfz", "2fcbqwe9ndg175zg2dzwftvkpa"
ITEM_PATH = f"/v1/vaults/{VAULT}/items/{ITEM}"
VAULTS = [
    {"id": VAULT, "name": "Production", "type": "USER_CREATED"},
    {"id": "a" * 26, "name": "Twice", "type": "USER_CREATED"},
    {"id": "b" * 26, "name": "Twice", "type": "USER_CREATED"},
]
FULL_ITEM = {
    "id": ITEM,
    "title": "Sign-in (new)",
    "vault": {"id": VAULT},
    "category": "LOGIN",
    "sections": [{"id": "95cdbc3b", "label": "database"}, {"id": "add more"}],
    "fields": [
        {"id": "username", "label": "username", "purpose": "USERNAME", "value": "deploy"},
        {"id": "password", "label": "password", "purpose": "PASSWORD", "value": CANARY},
        {"id": "1", "label": "port", "section": {"id": "95cdbc3b"}, "value": "5432"},
        {"id": "2", "label": "plain", "section": {"id": "add more"}, "value": "x"},
        {"id": "notesPlain", "label": "notesPlain", "purpose": "NOTES"},
    ],
}


def _filtered(entries: list[dict[str, Any]], key: str, request: Request) -> bytes:
    """Answer a list as Connect does: SCIM's `key eq "name"`, without regard to case."""
    [wanted] = parse_qs(urlsplit(request.target).query)["filter"]
    return answer(
        200, [e for e in entries if f'{key} eq "{e[key]}"'.lower() == wanted.lower()]
    )


def _connect(request: Request) -> bytes:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return answer(401, {"status": 401, "message": "Invalid token signature"})
    match urlsplit(request.target).path:
        case "/v1/vaults":
            return _filtered(VAULTS, "name", request)
        case path if path == f"/v1/vaults/{VAULT}/items":
            return _filtered([{k: FULL_ITEM[k] for k in ("id", "title")}], "title", request)
        case path if path == ITEM_PATH:
            return answer(200, FULL_ITEM)
    return answer(404, {"status": 404, "message": f"not found: {CANARY}"})


@asynccontextmanager
async def _serving(
    respond: Callable[[Request], Answer] = _connect, token: str = TOKEN
) -> AsyncIterator[tuple[OnePasswordProvider, SmallServer]]:
    async with small_server(respond) as server:
        yield (
            OnePasswordProvider({"address": server.address, "token": token}, Limits()),
            server,
        )


def _at(*path: str, **names: str) -> Location:
    return Location(org_id="org", kind="byok", path=path, names=names)


async def _refusal(
    provider: OnePasswordProvider, kind: type[ResolveError], at: Location
) -> str:
    with pytest.raises(kind) as refused:
        await provider.resolve(at)
    assert type(refused.value) is kind
    shown = f"{refused.value!r} {refused.value.detail} {refused.value.hint}"
    assert CANARY not in shown
    assert TOKEN not in shown
    return refused.value.reason


async def test_by_name() -> None:
    """Vault, item and fields are found by name; a field in a section has its name too."""
    async with _serving() as (provider, server):
        found = await provider.resolve(
            _at(
                "Production", "Sign-in (new)", U="username", P="password", N="database.port"
            )
        )
    assert found.values == {"U": "deploy", "P": CANARY, "N": "5432"}
    assert [urlsplit(request.target).path for request in server.requests] == [
        "/v1/vaults",
        f"/v1/vaults/{VAULT}/items",
        ITEM_PATH,
    ]


async def test_by_id() -> None:
    """Ids stand for themselves, and take one request."""
    async with _serving() as (provider, server):
        found = await provider.resolve(_at(VAULT, ITEM, U="username", X="plain"))
    assert found.values == {"U": "deploy", "X": "x"}
    assert len(server.requests) == 1


async def test_not_there() -> None:
    """A vault, an item and a field that are not there are told apart."""
    async with _serving() as (provider, _):
        for at, reason in (
            (_at("None", "x"), "there is no such vault, or the token may not see it"),
            (_at("Production", "x"), "there is no such item, or the token may not see it"),
            (_at("production", "x"), "there is no such vault, or the token may not see it"),
            (_at(VAULT, "c" * 26), "there is no such vault or item"),
            (
                _at(VAULT, ITEM, N="notesPlain"),
                "there is no field 'notesPlain' at the path",
            ),
            (_at(VAULT), "the path is not VAULT/ITEM"),
            (_at(VAULT, ITEM, "password"), "the path is not VAULT/ITEM"),
        ):
            assert await _refusal(provider, SecretNotFoundError, at) == reason


async def test_ambiguous() -> None:
    """Where two vaults have one name, neither is taken."""
    async with _serving() as (provider, _):
        refusal = await _refusal(provider, BadAnswerError, _at("Twice", "x"))
    assert refusal == "more than one vault has this name"


async def test_ambiguous_field() -> None:
    """Where two fields have one label, neither is taken."""
    field = {"label": "password", "value": CANARY}
    item = answer(200, {"fields": [field, field]})
    async with _serving(lambda _: item) as (provider, _):
        refusal = await _refusal(provider, BadAnswerError, _at(VAULT, ITEM))
    assert refusal == "two fields of the item have the same label"


async def test_wrong_token() -> None:
    """A token that is refused is said to be no good, and not shown."""
    async with _serving(token="another") as (provider, _):
        refusal = await _refusal(provider, ProviderDeniedError, _at("Production", "x"))
    assert refusal == "the token is not valid, or may not see the vault"


_MESSAGE = {"message": CANARY}
_NO_FIELD = "there is no field at the path"


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        ((503, _MESSAGE), ProviderUnavailableError, "cannot serve now (status 503)"),
        ((429, _MESSAGE), ProviderUnavailableError, "cannot serve now (status 429)"),
        ((400, _MESSAGE), BadAnswerError, "the request was refused (status 400)"),
        ((200, CANARY.encode()), BadAnswerError, "the answer is not JSON"),
        ((200, [CANARY]), BadAnswerError, "the answer is not a JSON object"),
        ((200, {"fields": [7, {"label": 7}, {}]}), SecretNotFoundError, _NO_FIELD),
        ((200, {"fields": CANARY, "sections": 7}), SecretNotFoundError, _NO_FIELD),
    ],
)
async def test_odd_answers(
    response: tuple[int, object], kind: type[ResolveError], reason: str
) -> None:
    """An odd answer is refused with what is wrong, and not quoted."""
    async with _serving(lambda _: answer(*response)) as (provider, _):
        assert await _refusal(provider, kind, _at(VAULT, ITEM)) == reason


@pytest.mark.parametrize(
    "body", [{"vaults": []}, [7, {"name": "x"}, {"name": "x", "id": 7}]]
)
async def test_odd_lists(body: object) -> None:
    """A list that is none, or holds no vaults, has no such vault in it."""
    async with _serving(lambda _: answer(200, body)) as (provider, _):
        await _refusal(provider, SecretNotFoundError, _at("x", "y"))


def test_options() -> None:
    """A token is required, in platform.toml or in a file."""
    with pytest.raises(SettingsError, match="token: set either `token` or `token_file`"):
        OnePasswordProvider({"address": "https://connect"}, Limits())
