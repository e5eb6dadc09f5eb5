"""Checks of the instances of credential providers: each is asked something harmless."""

from collections.abc import Mapping
from typing import Any

from rensei_platform.doctor.result import Result, reported
from rensei_platform.errors import PlatformError
from rensei_platform.providers.base import Location, Resolved, ResolveError
from rensei_platform.providers.registry import Registry


async def check_providers(tables: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    """Return what is found of each instance."""
    found: list[Result] = []
    for name, table in tables.items():
        title = f"provider {name}"
        with reported(title, found):
            registry = Registry(_NoDatabase(), {name: table})
            try:
                await registry.probe(name)
            except ResolveError as error:
                cause = f" ({error.detail})" if error.detail else ""
                message = f"{error.reason}{cause}"
                found.append(Result(title, "error", message, error.hint))
            else:
                found.append(Result(title, "ok", f"{table.get('type')}, answers"))
    return found


class _NoDatabase:
    """Stands where the provider `database` is, which has a check of its own."""

    async def resolve(self, location: Location) -> Resolved:
        raise PlatformError(f"not asked for {location.kind}")
