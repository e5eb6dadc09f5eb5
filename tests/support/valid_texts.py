"""A configuration file read as the daemon reads it, without any environment.

In this process: another one for each text would take most of the time of a test.
"""

from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.locations import Locations
from rensei_daemon.settings.fitting import FittingValidator
from rensei_daemon.settings.loading import check_settings
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources, Validator
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


def daemon_validator(locations: Locations) -> Validator:
    """Return the same as a daemon has it: the model sees only what does not fit."""
    sources = Sources(path=locations.config, runtime=locations.runtime)
    return FittingValidator(sources, LocalValidator(sources))


def dying_validator(locations: Locations, *, fits: bool = False) -> Validator:
    """Return a validator whose processes all die; `fits`: it asks them if it has to."""
    sources = Sources(path=locations.config, runtime=locations.runtime)
    dying = ValidationProcess(sources, program=("/bin/sh", "-c", "kill -KILL $$"))
    return FittingValidator(sources, dying) if fits else dying
