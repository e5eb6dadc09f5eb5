"""What this host sends when it registers, and the API key that it uses."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from rensei_daemon import __version__
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.core.worker import Registration
from rensei_daemon.disk.api_key import ApiKey, read_api_key
from rensei_daemon.disk.host_info import host_info
from rensei_daemon.disk.identity_file import machine_id
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.tasks.identity_saver import IdentitySaver

CAPABILITIES = ("local",)


def open_identity(
    http: Http,
    safe: IdentitySaver,
    configuration: Configuration,
    *,
    started_at: datetime,
    environ: Mapping[str, str],
    machine_id_file: Path,
    scrub: Scrubber,
) -> Identity:
    """Return the identity of this host, as it was saved; raise `SettingsError`.

    `scrub` is given the API key.
    """
    machine = machine_id(environ=environ, fallback=machine_id_file)

    def describe() -> Registration:
        settings = configuration.settings
        return Registration(
            machine_id=machine,
            hostname=settings.machine.name,
            capacity=max(1, settings.machine.max_sessions),
            version=__version__,
            report=configuration.report,
            region=settings.machine.region or "",
            capabilities=CAPABILITIES,
            host=host_info(version=__version__, started_at=started_at),
        )

    def read_key() -> ApiKey:
        file = configuration.settings.platform.api_key_file
        key = read_api_key(environ=environ, api_key_file=file)
        scrub.register("the API key", [key.secret])
        return key

    key = ActiveApiKey(read_key, approve=configuration.require_chosen_url)
    return Identity(http, key=key, describe=describe, saved=safe.read(), save=safe.save)
