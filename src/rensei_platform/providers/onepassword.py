"""1Password, through a Connect server: a path is a vault and an item."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
    SecretNotFoundError,
)
from rensei_platform.providers.fields import parse_json, select
from rensei_platform.providers.http_client import HttpClient
from rensei_platform.providers.options import (
    AbsolutePath,
    Limits,
    ServerOptions,
    parse_options,
    reveal,
)
from rensei_platform.providers.secret_source import SecretSource

_ID = re.compile(r"[a-z0-9]{26}", re.ASCII)


class OnePasswordOptions(ServerOptions):
    """Keys of a `[providers.NAME]` table with `type = "onepassword"`."""

    token: SecretStr | None = None
    token_file: AbsolutePath | None = None


class OnePasswordProvider:
    """Reads items of one Connect server."""

    def __init__(self, options: Mapping[str, object], limits: Limits) -> None:
        """Raise SettingsError if an option is wrong."""
        parsed = parse_options(OnePasswordOptions, options)
        self._token = SecretSource("token", reveal(parsed.token), parsed.token_file)
        self._client = HttpClient(
            parsed.address,
            ca_file=parsed.ca_file,
            allow_http=parsed.allow_http,
            most_bytes=limits.most_bytes,
            timeout=limits.timeout_seconds,
        )

    async def probe(self) -> None:
        """List the vaults that the token may see."""
        await self._get("/v1/vaults")

    async def resolve(self, location: Location) -> Resolved:
        """Return an item's fields by label; by `section.label` where one has a section."""
        if len(location.path) != 2:
            raise SecretNotFoundError("the path is not VAULT/ITEM")
        vault, item = location.path
        vault_id = await self._find("/v1/vaults", "name", vault)
        items = f"/v1/vaults/{quote(vault_id, safe='')}/items"
        item_id = await self._find(items, "title", item)
        found = await self._get(f"{items}/{quote(item_id, safe='')}")
        if not isinstance(found, dict):
            raise BadAnswerError("the answer is not a JSON object")
        return Resolved(select(_fields(found), location.names))

    async def _find(self, path: str, key: str, name: str) -> str:
        """Return the id of the only vault or item of this name; an id stands for itself."""
        if _ID.fullmatch(name):
            return name
        found = await self._get(path, {"filter": f'{key} eq "{name}"'})
        entries = found if isinstance(found, list) else []
        ids = [
            entry["id"]
            for entry in entries
            if isinstance(entry, dict)
            and entry.get("title" if key == "title" else "name") == name
            and isinstance(entry.get("id"), str)
        ]
        what = "vault" if key == "name" else "item"
        if not ids:
            raise SecretNotFoundError(
                f"there is no such {what}, or the token may not see it"
            )
        if len(ids) > 1:
            raise BadAnswerError(
                f"more than one {what} has this {key}", hint=f"Name the {what} by its id."
            )
        return str(ids[0])

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token.read()}"}
        answer = await self._client.send("GET", path, headers, params=params)
        match answer.status:
            case 200:
                return parse_json(answer.body)
            case 401 | 403:
                raise ProviderDeniedError(
                    "the token is not valid, or may not see the vault",
                    hint="Make a token for the vault, and put it in place of this one.",
                )
            case 404:
                raise SecretNotFoundError("there is no such vault or item")
            case status if status >= 500 or status == 429:
                raise ProviderUnavailableError(f"cannot serve now (status {status})")
            case status:
                raise BadAnswerError(f"the request was refused (status {status})")


def _fields(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by label. Raise BadAnswerError where two fields share one."""
    sections = {
        section.get("id"): section.get("label")
        for section in _objects(item.get("sections"))
        if isinstance(section.get("label"), str)
    }
    fields: dict[str, Any] = {}
    for entry in _objects(item.get("fields")):
        label, value, section = entry.get("label"), entry.get("value"), entry.get("section")
        if not isinstance(label, str) or value is None or value == "":
            continue
        section_label = (
            sections.get(section.get("id")) if isinstance(section, dict) else None
        )
        name = f"{section_label}.{label}" if section_label else label
        if name in fields:
            raise BadAnswerError("two fields of the item have the same label")
        fields[name] = value
    return fields


def _objects(value: object) -> list[dict[str, Any]]:
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]
