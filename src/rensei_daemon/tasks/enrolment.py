"""What this host says of itself when it registers, and where it keeps what it is told."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from rensei_daemon import __version__
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.worker import Registration, Worker
from rensei_daemon.disk.api_key import ApiKey, read_api_key
from rensei_daemon.disk.host import host_info
from rensei_daemon.disk.identity import IdentityFile, machine_id
from rensei_daemon.errors import StorageError
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.tasks.configuration import Configuration

CAPABILITIES = ("local",)


def open_identity(
    http: Http,
    file: IdentityFile,
    configuration: Configuration,
    board: Board,
    *,
    environ: Mapping[str, str],
    machine_id_file: Path,
    learn: Callable[[Iterable[str]], None],
) -> Identity:
    """Return who this host is, starting from what was saved; raises `SettingsError`.

    `learn` is told the API key and every runtime token, to know them by sight.
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
            host=host_info(version=__version__, started_at=board.started_at),
        )

    async def save(worker: Worker) -> None:
        # A full disk must not cost the host its token: it is used, and the board says.
        learn([worker.token])
        try:
            await anyio.to_thread.run_sync(file.save, worker)
        except StorageError as error:
            now = datetime.now(UTC)
            board.raise_alarm(
                Code.STORAGE, str(error), hint=error.hint, now=now, subject="identity"
            )
        else:
            board.clear(Code.STORAGE, "identity")

    def read_key() -> ApiKey:
        key = read()
        learn([key.secret])
        return key

    read, saved = key_reader(configuration, environ), file.read()
    if saved is not None:
        learn([saved.token])
    return Identity(
        http,
        read_key=read_key,
        describe=describe,
        saved=saved,
        save=save,
    )


def key_reader(
    configuration: Configuration, environ: Mapping[str, str]
) -> Callable[[], ApiKey]:
    """Return what reads the API key afresh, from wherever the settings in force say."""

    def read() -> ApiKey:
        file = configuration.settings.platform.api_key_file
        return read_api_key(environ=environ, api_key_file=file)

    return read
