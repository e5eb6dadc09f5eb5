"""The configuration file, as a command of an operator reads it."""

from pathlib import Path

from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.errors import NotPermittedError, SettingsError


def read_config(path: Path) -> Document:
    """Return the text of the file.

    Raise `NotPermittedError` when this user may not read it: that is no fault of the
    configuration. Raise `SettingsError` for everything that the daemon would refuse too.
    """
    try:
        return ConfigFile(path).read()
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            what = f"{path} cannot be read: permission denied"
            raise NotPermittedError(what, hint="use sudo") from error
        raise
