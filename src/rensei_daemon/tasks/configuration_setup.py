"""The configuration that a start begins with: the file's, or the last good one."""

from collections.abc import Mapping
from functools import partial

from rensei_daemon.disk.api_key import read_api_key
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.errors import SettingsError
from rensei_daemon.locations import Locations
from rensei_daemon.settings.loading import check_settings, load
from rensei_daemon.tasks.configuration import Configuration, Load, ValidText, validated


def open_configuration(
    locations: Locations, environ: Mapping[str, str], overrides: Mapping[str, object]
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
    settings_of = partial(
        load,
        path=locations.config,
        environ=environ,
        overrides=overrides,
        runtime=locations.runtime,
    )
    accept = partial(
        check_settings,
        folder=locations.config.parent,
        environ=environ,
        overrides=overrides,
    )
    error = None
    try:
        in_force = validated(file.read(), file.path, settings_of)
    except SettingsError as refused:
        error = refused
        in_force = _last_good(last_good, settings_of, environ, error)
    configuration = Configuration(file, load=settings_of, accept=accept, in_force=in_force)
    return configuration, last_good, error


def _last_good(
    last_good: LastGoodConfig, load: Load, environ: Mapping[str, str], error: SettingsError
) -> ValidText:
    """Return the last good text if it may be used, else raise `error`."""
    document = last_good.read()
    if document is None:
        raise error
    try:
        kept = validated(document, last_good.path, load)
        file = kept.settings.platform.api_key_file
        key = read_api_key(environ=environ, api_key_file=file).secret
    except SettingsError:
        raise error from None
    if not last_good.ran_with(document, key):
        error.hint += "; the last good text did not run with today's API key"
        raise error
    return kept
