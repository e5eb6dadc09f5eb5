"""Requests of a person to the platform: key, host, and refusals as exit codes.

The key is that of the environment, else found where the daemon finds it; it is never an
argument.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import anyio
import click

from rensei_daemon import __version__
from rensei_daemon.cli.config_file import read_config
from rensei_daemon.cli.control import ask, find_daemon
from rensei_daemon.cli.operator_environment import OperatorEnvironment, read_environment
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.terminal import clean
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.disk.api_key import read_api_key
from rensei_daemon.errors import (
    NotPermittedError,
    PlatformError,
    RefusedError,
    RenseiError,
    SettingsError,
    UsageError,
)
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.locations import Locations
from rensei_daemon.platform_api.http import open_http
from rensei_daemon.platform_api.operator_client import OperatorClient
from rensei_daemon.settings.host_checks import unset_platform
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.values import Settings

_T = TypeVar("_T")

_UNKNOWN = "check the id or kind: this key's organisation has none such on the platform"

Question = Callable[[OperatorClient], Awaitable[_T]]


@dataclass(frozen=True, slots=True)
class OperatorAccess:
    """The person at this host: its files and settings."""

    locations: Locations
    settings: Settings
    environment: OperatorEnvironment = field(default_factory=OperatorEnvironment)

    @property
    def org_id(self) -> str:
        """The organisation that the environment or else the file names; may be empty."""
        return self.environment.org_id or self.settings.platform.org_id or ""

    @property
    def is_of_this_host(self) -> bool:
        """Whether the platform is the one that the daemon of this host reports to."""
        return not self.environment.url

    def host(self, named: str | None) -> str:
        """Return the platform's id of the host; raises UsageError if it is not known.

        If neither the caller nor the file names it, the daemon here may know it.
        """
        host = named or self.settings.platform.worker_host_id or self._daemon_key()
        if not host:
            raise UsageError(
                "which host? The platform knows it by an id of its own",
                hint="name it with --host, or once and for all: platform.worker_host_id",
            )
        return host

    def _daemon_key(self) -> str | None:
        if not self.is_of_this_host:
            return None
        with suppress(RenseiError):
            found = ask(self.locations, STATUS).get("worker_host_id")
            return found if isinstance(found, str) else None
        return None

    def ask(self, question: Question[_T]) -> _T:
        """Ask the platform with the operator's key, or this host's.

        Raises SettingsError without a key, NotPermittedError and UnauthorizedError (77)
        when the key cannot be read or does not allow it, TransientError (69) when the
        platform cannot be reached, and a plain RenseiError (1) for another refusal.
        """
        platform = self.settings.platform
        key = self.environment.token or _key(platform.api_key_file)
        try:
            with waiting_for("the platform"):
                return anyio.run(self._ask, key, question)
        except RefusedError as error:
            raise self.explained(error) from error

    @staticmethod
    def explained(error: PlatformError) -> RenseiError:
        """Return a refusal with the exit code and the hint of whoever must act."""
        if not isinstance(error, RefusedError):
            return error
        if error.status == HTTPStatus.FORBIDDEN:
            hint = (
                "the key belongs to another organisation, or its owner is neither "
                "admin nor owner of this one"
            )
            return NotPermittedError(str(error), hint=hint)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return error
        hint = _UNKNOWN if error.status == HTTPStatus.NOT_FOUND else error.hint
        return RenseiError(str(error), hint=hint)

    async def _ask(self, key: str, question: Question[_T]) -> _T:
        platform = self.settings.platform
        agent = f"rensei-daemon/{__version__}"
        scrub = Scrubber()
        scrub.register("API key", [key])
        async with open_http(
            platform.url,
            user_agent=agent,
            ca_file=platform.ca_file,
            client_files=platform.client_files,
            scrub=scrub,
        ) as http:
            return await question(OperatorClient(http, key))


def _key(file: Path | None) -> str:
    try:
        return read_api_key(environ=os.environ, api_key_file=file).secret
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            hint = "use sudo, or give a key of your own in RENSEI_API_KEY"
            raise NotPermittedError(str(error), hint=hint) from error
        raise


def operator_access(config: Path | None) -> OperatorAccess:
    """Read the settings for an operator's request; raises SettingsError.

    With a platform from the environment the file is not read: what it says is about
    another one.
    """
    environment = read_environment(os.environ)
    locations = find_daemon(config)
    if environment.url:
        text, overrides = "", {"platform": {"url": environment.url}}
    else:
        text, overrides = read_config(locations.config), {}
    settings = load(
        text,
        path=locations.config,
        environ=os.environ,
        overrides=overrides,
        check=unset_platform,
    )
    _mention(environment.unused_url, settings.platform.url)
    return OperatorAccess(locations, settings, environment)


def _mention(unused: str, url: str) -> None:
    """Say that a url of the environment is not used, so that nobody is misled by it."""
    if unused and unused.rstrip("/") != url:
        click.echo(
            f"note: the platform is {clean(url)}; a url in the environment is used only "
            "with a key from there (RENSEI_RSK_TOKEN)",
            err=True,
        )
