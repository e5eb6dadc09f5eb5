"""The instances of platform.toml, and the only way to call a provider.

What comes over HTTP names an instance and a path below the prefix that the instance allows
the organization, nothing else. Every call has a deadline, every answer is checked, and
every failure names instance and kind.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import anyio

from rensei_platform.errors import InvalidRequestError, PlatformError
from rensei_platform.providers.base import (
    BadAnswerError,
    Binding,
    Lease,
    LeaseEndedError,
    LeasingProvider,
    Location,
    ProbedProvider,
    Provider,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
    ResolveError,
)
from rensei_platform.providers.fields import check_names, check_values
from rensei_platform.providers.instances import DATABASE, EVERYONE, Instance, open_instance
from rensei_platform.providers.options import Limits
from rensei_platform.providers.paths import parse_path


class Described(NamedTuple):
    """What an organization may know of an instance."""

    name: str
    type: str
    prefix: str
    """Of every path of the organization."""


class Registry:
    """Resolves bindings."""

    def __init__(self, database: Provider, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Open every `[providers.NAME]` table. Raise SettingsError naming the wrong one."""
        self._instances = {
            DATABASE: Instance(database, Limits(), {EVERYONE: ""}),
            **{name: open_instance(name, table) for name, table in tables.items()},
        }

    def allowed(self, org_id: str) -> list[str]:
        """Return the names of the instances that an organization may use."""
        instances = self._instances.items()
        return sorted(name for name, one in instances if one.prefix(org_id) is not None)

    def describe(self, org_id: str) -> list[Described]:
        """Return the instances that an organization may use, by name."""
        return [
            Described(name, one.type, "/".join(one.prefix(org_id) or ()))
            for name, one in sorted(self._instances.items())
            if one.prefix(org_id) is not None
        ]

    def limits(self, provider: str) -> Limits:
        """Return what bounds the calls of an instance that is there."""
        return self._instances[provider].limits

    def check(self, binding: Binding) -> None:
        """Raise InvalidRequestError unless the organization may make this binding."""
        if binding.provider not in self.allowed(binding.org_id):
            # Equal for instances of others and for none: they are not listed to strangers.
            raise InvalidRequestError("provider: not one that this organization may use")
        parse_path(binding.path)
        check_names(binding.names)

    async def resolve(self, binding: Binding) -> Resolved:
        """Return the values of a binding, checked. Raise ResolveError."""
        with _named(binding.provider, binding.kind):
            instance = self._get(binding.provider)
            location = _location(instance, binding)
            with _bounded(instance.limits):
                found: object = await instance.provider.resolve(location)
            if not isinstance(found, Resolved) or not isinstance(found.lease, Lease | None):
                raise BadAnswerError("the provider did not return what it must")
            values = check_values(found.values, instance.limits.most_bytes)
            return Resolved(values, found.lease)

    async def renew(self, provider: str, kind: str, lease: Lease) -> Lease:
        """Return the lease, prolonged. Raise LeaseEndedError if it has to be replaced."""
        with _named(provider, kind):
            instance = self._get(provider)
            if not isinstance(instance.provider, LeasingProvider) or not lease.renewable:
                raise LeaseEndedError("the lease cannot be renewed")
            with _bounded(instance.limits):
                return await instance.provider.renew(lease)

    async def revoke(self, provider: str, kind: str, lease: Lease) -> None:
        """End a lease, if the provider can. Raise ResolveError if that fails."""
        with _named(provider, kind):
            instance = self._get(provider)
            if isinstance(instance.provider, LeasingProvider):
                with _bounded(instance.limits):
                    await instance.provider.revoke(lease)

    async def probe(self, provider: str) -> None:
        """Ask an instance whether it answers, if it can be asked. Raise ResolveError."""
        with _named(provider, ""):
            instance = self._get(provider)
            if isinstance(instance.provider, ProbedProvider):
                with _bounded(instance.limits):
                    await instance.provider.probe()

    def _get(self, name: str) -> Instance:
        if name not in self._instances:
            raise ProviderUnavailableError(
                "is not configured", hint=f"Add [providers.{name}] to platform.toml."
            )
        return self._instances[name]


def _location(instance: Instance, binding: Binding) -> Location:
    """Return where to look. Raise ProviderDeniedError for what a bind would refuse."""
    prefix = instance.prefix(binding.org_id)
    if prefix is None:
        raise ProviderDeniedError(
            "the organization may not use it", hint="See `allow` in platform.toml."
        )
    try:
        path = parse_path(binding.path)
        check_names(binding.names)
    except InvalidRequestError as error:
        raise ProviderDeniedError(str(error)) from None
    return Location(
        org_id=binding.org_id, kind=binding.kind, path=(*prefix, *path), names=binding.names
    )


@contextmanager
def _named(instance: str, kind: str) -> Iterator[None]:
    """Say in errors which instance and kind it was, whatever the provider raised."""
    try:
        yield
    except ResolveError as error:
        error.instance, error.kind = instance, kind
        raise
    except PlatformError:
        raise
    except Exception as error:  # noqa: BLE001 - code of others; its texts may hold values
        failed = BadAnswerError(f"internal error: {type(error).__name__}")
        failed.instance, failed.kind = instance, kind
        raise failed from None


@contextmanager
def _bounded(limits: Limits) -> Iterator[None]:
    with anyio.move_on_after(limits.timeout_seconds) as limit:
        yield
    if limit.cancelled_caught:
        raise ProviderUnavailableError(f"no answer within {limits.timeout_seconds:g} s")
