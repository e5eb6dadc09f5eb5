"""`serve`: the server."""

import os
import signal
from pathlib import Path

import anyio
import click
import structlog

from rensei_platform.cli.database import FILE, Setup, master_key_option, uses_setup
from rensei_platform.cli.garbage import collect_as_usual
from rensei_platform.cli.reload import Reload
from rensei_platform.config import Config
from rensei_platform.errors import StorageError
from rensei_platform.http.descriptors import most_streams, raise_limit
from rensei_platform.http.server import Exposure, listen, serving, url_of
from rensei_platform.http.tls import Certificate
from rensei_platform.logs import configure_log
from rensei_platform.services.opening import opened
from rensei_platform.systemd import feed_watchdog, notify
from rensei_platform.version import version

_log = structlog.get_logger()

SETTINGS = (
    "master_key",
    "host",
    "port",
    "heartbeat_interval_ms",
    "token_ttl_seconds",
    "deliver_once",
    "stop_seconds",
    "log_level",
    "log_format",
)


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.command("serve")
@uses_setup(*SETTINGS)
@master_key_option
@click.option("--host", metavar="ADDRESS", help="Default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: 8790.")
@click.option("--heartbeat-interval-ms", type=int, help="Default: 30000.")
@click.option("--token-ttl-seconds", type=int, help="Default: 3600.")
@click.option(
    "--deliver-once", is_flag=True, default=None, help="Deliver each mutation only once."
)
@click.option(
    "--stop-seconds",
    type=float,
    help="A stopping server ends its streams one after the other, within this time. "
    "Default: 10.",
)
@click.option("--log-format", metavar="FORMAT", help="auto, text or json.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option(
    "--ready-file", type=FILE, metavar="FILE", help="Write the URL here once it listens."
)
def serve(setup: Setup, ready_file: Path | None) -> None:
    """Serve the control plane until TERM or INT.

    HUP has it read the log's settings and the certificate again.

    Example: rensei-platform serve --database sqlite:////var/lib/rensei-platform/platform.db
    """
    if ready_file is not None:
        _check_ready_file(ready_file)
    configure_log(setup.config.log_level, setup.config.log_format)
    anyio.run(_serve, setup, ready_file, backend_options={"use_uvloop": True})


async def _serve(setup: Setup, ready_file: Path | None) -> None:
    config, exposure = setup.config, _exposure(setup.config)
    settings = config.server_settings(setup.providers, most_streams(raise_limit()))
    reload = Reload(setup, exposure)
    with anyio.open_signal_receiver(*_SIGNALS) as signals:
        async with opened(
            setup.database, settings, setup.master_key, setup.listen_url
        ) as platform:
            with listen(config.host, config.port) as listener:
                async with (
                    serving(platform, listener, exposure=exposure),
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(feed_watchdog, os.environ)
                    collect_as_usual()
                    _tell_ready(url_of(listener, exposure), ready_file)
                    async for received in signals:
                        if received != signal.SIGHUP:
                            break
                        reload.carry_out()
                    notify(os.environ, "STOPPING=1")
                    _log.info("server.stopping")
                    tasks.cancel_scope.cancel()


def _exposure(config: Config) -> Exposure:
    config.check_exposure()
    proxies = tuple(map(str, config.trusted_addresses)) if config.behind_proxy else ()
    if config.tls_certificate is None or config.tls_key is None:
        return Exposure(proxies=proxies)
    certificate = Certificate(config.tls_certificate, config.tls_key)
    return Exposure(certificate=certificate, proxies=proxies)


def _tell_ready(url: str, ready_file: Path | None) -> None:
    """Tell the log, the service manager and who waits for the file."""
    _log.info("server.ready", url=url, version=version())
    notify(os.environ, "READY=1", f"STATUS=serving at {url}")
    if ready_file is not None:
        _write_ready(ready_file, url)


def _check_ready_file(path: Path) -> None:
    """Raise StorageError for what cannot be this file, before anything is served.

    A device or a pipe would be replaced.
    """
    try:
        if not path.name or (path.exists() and not path.is_file()):
            raise StorageError(f"{path}: no regular file", hint=_READY_HINT)
        draft = _draft_of(path)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write the ready file: {error.strerror}", hint=_READY_HINT
        ) from error


_READY_HINT = "Let --ready-file name a new file, in a directory that is there."


def _write_ready(path: Path, url: str) -> None:
    """Write the file in one step, so that who waits for it reads all of it."""
    draft = _draft_of(path)
    draft.write_text(f"{url}\n")
    draft.replace(path)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
