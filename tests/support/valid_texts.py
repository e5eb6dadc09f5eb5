"""A configuration file read as the daemon reads it, without any environment.

In this process: another one for each text would take most of the time of a test.
"""

from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.locations import Locations
from rensei_daemon.settings.loading import LocalValidator, check_settings
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings
from rensei_daemon.validation_process import ValidationProcess


def read_valid(file: ConfigFile) -> ValidConfig[Settings]:
    """Read and validate today's text."""
    document = file.read()
    return ValidConfig(document, accept(document))


def accept(document: Document) -> Settings:
    """Validate an edited text."""
    return check_settings(document.tree)


def local_validator(locations: Locations) -> LocalValidator:
    """Return what validates the texts of a daemon."""
    return LocalValidator(Sources(path=locations.config, runtime=locations.runtime))


def dying_validator(locations: Locations) -> ValidationProcess:
    """Return a validator whose processes all die."""
    sources = Sources(path=locations.config, runtime=locations.runtime)
    return ValidationProcess(sources, program=("/bin/sh", "-c", "kill -KILL $$"))
