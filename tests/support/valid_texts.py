"""A configuration file read as the daemon reads it, without any environment."""

from rensei_daemon.core.document import ValidConfig
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.settings.loading import check_settings
from rensei_daemon.settings.model import Settings


def read_valid(file: ConfigFile) -> ValidConfig[Settings]:
    """Read and validate today's text."""
    document = file.read()
    return ValidConfig(document, check_settings(document.tree))
