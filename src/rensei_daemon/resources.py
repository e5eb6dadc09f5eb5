"""What a daemon opens before the network: configuration, state directory, log and board.

`open_resources` opens from its first line down, and closes from its last line up.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)

from rensei_daemon import __version__
from rensei_daemon.core.board import Board
from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.disk.api_key import read_api_key
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.directories import RUNTIME_MODE, prepare_directory
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.disk.processes import lock_holder, service_of
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.errors import SettingsError, StateInUseError, StorageError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.locations import Locations, remembered
from rensei_daemon.logs.outputs import choose_outputs
from rensei_daemon.logs.setup import LogControl, log_to
from rensei_daemon.platform_api.http import CALL_SECONDS, Http, open_http
from rensei_daemon.session_factory import SessionFactory
from rensei_daemon.settings.configuration import Configuration, ValidText, validated
from rensei_daemon.settings.sources import Validator
from rensei_daemon.settings.values import Log as LogSettings
from rensei_daemon.tasks.state_opening import open_state
from rensei_daemon.tasks.status_reporting import open_board


@dataclass(frozen=True, slots=True)
class Resources:
    """What is open before the network, and outlives it."""

    locations: Locations
    environ: Mapping[str, str]
    configuration: Configuration
    last_good: LastGoodConfig
    state: StateDirectory
    session_factory: SessionFactory
    log: LogControl
    board: Board


@contextmanager
def open_resources(
    locations: Locations,
    *,
    environ: Mapping[str, str],
    validator: Validator,
    log: LogControl | None = None,
) -> Iterator[Resources]:
    """Open everything, and close it in reverse order when the block ends.

    `log` is used, if given, in place of the one that the settings name. Raises
    `SettingsError`, `StateInUseError` and `StorageError`.
    """
    configuration, last_good, error = open_configuration(locations, environ, validator)
    _require_only_one(locations)
    prepare_directory(locations.runtime, mode=RUNTIME_MODE)
    with StateDirectory(lock=locations.lock, journal=locations.journal) as state:
        opened = open_state(state)
        with suppress(StorageError):  # commands mostly find the daemon without it
            lock = configuration.file.lock
            lock.remember(state=locations.state, runtime=locations.runtime)
        factory = SessionFactory.prepare(locations.runtime, environ)
        address = _own_address(locations)
        settings = configuration.settings.log
        with (
            nullcontext(log)
            if log
            else _open_log(settings, locations, environ, factory.scrub, address)
        ) as control:
            board = open_board(
                configuration, state.journal, locations.runtime, error, opened
            )
            board.address = address
            yield Resources(
                locations, environ, configuration, last_good, state, factory, control, board
            )


def _require_only_one(locations: Locations) -> None:
    """Raise `StateInUseError` if a daemon with another state has this configuration.

    Such as that of a user, when root starts one with the same file: both would register
    as this host and apply its mutations. One with the same state is found by its lock.
    """
    last = remembered(locations)
    if last is None or last.state == locations.state:
        return
    if pid := lock_holder(last.lock):
        raise StateInUseError(
            f"another rensei-daemon (pid {pid}) runs by {locations.config}, with its state "
            f"in {last.state}",
            hint="stop it first, or give this one a configuration of its own",
        )


def open_configuration(
    locations: Locations, environ: Mapping[str, str], validator: Validator
) -> tuple[Configuration, LastGoodConfig, SettingsError | None]:
    """Read the file; block, and write nothing.

    If the file cannot be used, return its error with the last good text in force,
    provided that this text ran with today's API key. Otherwise raise that error.
    """
    last_good = LastGoodConfig(
        locations.last_good,
        locations.last_good_fingerprint,
        environ=environ,
        machine_id_file=locations.machine_id,
    )
    file = ConfigFile(locations.config)
    error = None
    try:
        in_force = validated(file.read(), file.path, validator)
    except SettingsError as refused:
        error = refused
        in_force = _last_good(last_good, validator, environ, error)
    configuration = Configuration(file, validator=validator, in_force=in_force)
    return configuration, last_good, error


def _last_good(
    last_good: LastGoodConfig,
    validator: Validator,
    environ: Mapping[str, str],
    error: SettingsError,
) -> ValidText:
    """Return the last good text if it may be used, else raise `error`."""
    document = last_good.read()
    if document is None:
        raise error
    try:
        kept = validated(document, last_good.path, validator)
        file = kept.settings.platform.api_key_file
        key = read_api_key(environ=environ, api_key_file=file).secret
    except SettingsError:
        raise error from None
    if not last_good.ran_with(document, key):
        error.hint += "; the last good text did not run with today's API key"
        raise error
    return kept


def open_platform(
    resources: Resources, *, call_seconds: float = CALL_SECONDS
) -> AbstractAsyncContextManager[Http]:
    """Open the connections to the platform that the configuration names."""
    platform = resources.configuration.settings.platform
    return open_http(
        platform.url,
        user_agent=f"rensei-daemon/{__version__}",
        ca_file=platform.ca_file,
        client_files=platform.client_files,
        scrub=resources.session_factory.scrub,
        call_seconds=call_seconds,
    )


def _open_log(
    settings: LogSettings,
    locations: Locations,
    environ: Mapping[str, str],
    scrub: Scrubber,
    address: DaemonAddress,
) -> AbstractContextManager[LogControl]:
    outputs = choose_outputs(
        format=settings.format,
        file=settings.file,
        default_file=locations.log,
        environ=environ,
    )
    return log_to(outputs, level=settings.level, scrub=scrub, say_hint=address.hint)


def _own_address(locations: Locations) -> DaemonAddress:
    """Return how commands reach this process, for the hints of its conditions."""
    pid = os.getpid()
    service = service_of(pid)
    config = None if locations.unit_scope else str(locations.config)
    systemctl = str(service) if service else None
    return DaemonAddress(config=config, systemctl=systemctl, pid=pid)
