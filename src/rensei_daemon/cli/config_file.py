"""Reads the configuration file for the commands of an operator."""

import stat
from contextlib import suppress
from pathlib import Path

from rensei_daemon.disk.config_text import READ_BYTES, decode_config, read_text
from rensei_daemon.errors import NotPermittedError, SettingsError


def read_config(path: Path, *, accepts_pipe: bool = False) -> str:
    """Return the text of the file; of a pipe or terminal only with `accepts_pipe`.

    Raise `NotPermittedError` if this user may not read it, and `SettingsError` for
    everything that the daemon would refuse too.
    """
    try:
        if accepts_pipe and _is_pipe(path):
            with path.open("rb") as file:
                return decode_config(file.read(READ_BYTES), path)
        return read_text(path)
    except (SettingsError, PermissionError) as error:
        if isinstance(error, PermissionError) or isinstance(
            error.__cause__, PermissionError
        ):
            what = f"{path} cannot be read: permission denied"
            raise NotPermittedError(what, hint="use sudo") from error
        raise


def _is_pipe(path: Path) -> bool:
    """Whether the path is a pipe or a character device, such as /dev/stdin."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return False
