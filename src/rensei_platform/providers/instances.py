"""The `[providers.NAME]` tables of platform.toml, opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from rensei_platform.errors import InvalidRequestError, SettingsError
from rensei_platform.providers.base import Provider
from rensei_platform.providers.options import Limits, parse_options
from rensei_platform.providers.paths import parse_path

GROUP = "rensei_platform.providers"
"""The entry points of providers from elsewhere: type to `factory(options, limits)`."""
TYPES = {
    "exec": "rensei_platform.providers.exec:ExecProvider",
    "file": "rensei_platform.providers.file:FileProvider",
    "onepassword": "rensei_platform.providers.onepassword:OnePasswordProvider",
    "vault": "rensei_platform.providers.vault:VaultProvider",
}
DATABASE = "database"
"""The instance that every organization has, with its own part of the database."""
EVERYONE = "*"
ORG = "{org}"


@dataclass(frozen=True, slots=True)
class Instance:
    """A provider that is configured, and who may use it."""

    provider: Provider
    limits: Limits
    allow: Mapping[str, str]
    """Organization, or `*`, to the prefix of its paths."""
    type: str = DATABASE

    def prefix(self, org_id: str) -> tuple[str, ...] | None:
        """Return the prefix of an organization's paths. None if it may not use this."""
        text = self.allow.get(org_id, self.allow.get(EVERYONE))
        if text is None or "/" in org_id:
            return None
        try:
            return _segments(text, org_id)
        except InvalidRequestError:
            return None  # of the placeholder: no path can have this organization's id


def open_instance(name: str, table: Mapping[str, Any]) -> Instance:
    """Return the instance of a `[providers.NAME]` table. Raise SettingsError naming it."""
    options = dict(table)
    kind, allow = options.pop("type", None), options.pop("allow", {})
    try:
        if name == DATABASE:
            raise SettingsError("the name is taken by the database itself")
        limits = parse_options(
            Limits, {key: options.pop(key) for key in Limits.model_fields if key in options}
        )
        factory = _factory(kind)
        return Instance(factory(options, limits), limits, _checked_allow(allow), kind)
    except SettingsError as error:
        raise SettingsError(f"[providers.{name}] {error}", hint=error.hint) from error


def _factory(kind: object) -> Any:
    if isinstance(kind, str) and kind in TYPES:
        module, _, attribute = TYPES[kind].partition(":")
        return getattr(import_module(module), attribute)
    others = entry_points(group=GROUP)
    if not isinstance(kind, str) or kind not in others.names:
        known = ", ".join(sorted({*TYPES, *others.names}))
        raise SettingsError(f"type: not one of {known}")
    return others[kind].load()


def _checked_allow(allow: object) -> dict[str, str]:
    if not isinstance(allow, dict) or not allow:
        raise SettingsError(
            "allow: missing: no organization may use it",
            hint='Say who may, and where: `allow = { "ORG ID" = "prefix" }`.',
        )
    for org_id, prefix in allow.items():
        if not isinstance(prefix, str):
            raise SettingsError(f"allow: {org_id}: the prefix is not text")
        try:
            _segments(prefix, "org")
        except InvalidRequestError as error:
            raise SettingsError(f"allow: {org_id}: {error}") from None
    return allow


def _segments(prefix: str, org_id: str) -> tuple[str, ...]:
    return parse_path(prefix.replace(ORG, org_id)) if prefix else ()
