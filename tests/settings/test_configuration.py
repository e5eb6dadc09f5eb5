"""Which texts the configuration in force has validated, and which it knows already."""

from pathlib import Path

import pytest
from valid_texts import accept

from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.configuration import Configuration, validated
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings

TEXT = "[platform]\nurl = 'https://a.test'\n[projects]\na = {}\n"
EDITED = Document(TEXT + "b = { enabled = false }\n")


class Noting(LocalValidator):
    """A validator that notes what it is asked for."""

    asked: list[str]

    def load(self, document: Document, *, on_host: bool = False) -> Settings:
        """Note the text."""
        self.asked.append(document.text)
        return super().load(document, on_host=on_host)

    def accept(self, document: Document) -> Settings:
        """Note the text."""
        self.asked.append(document.text)
        return super().accept(document)


@pytest.fixture
def validator(tmp_path: Path) -> Noting:
    """A validator that has not been asked."""
    sources = Sources(path=tmp_path / "config.toml", runtime=tmp_path / "run")
    validator = Noting(sources)
    object.__setattr__(validator, "asked", [])
    return validator


@pytest.fixture
def configuration(tmp_path: Path, validator: Noting) -> Configuration:
    """A configuration with the text in force."""
    file = ConfigFile(tmp_path / "config.toml")
    file.path.write_text(TEXT)
    in_force = validated(file.read(), file.path, validator)
    validator.asked.clear()
    return Configuration(file, validator=validator, in_force=in_force)


def test_an_edited_text_is_not_validated_again_when_it_is_read(
    configuration: Configuration, validator: Noting
) -> None:
    """The next mutation starts from it, before it is in force."""
    settings = configuration.accept(EDITED)
    assert settings == accept(EDITED)
    configuration.file.path.write_text(EDITED.text)
    assert configuration.read().settings is settings
    assert validator.asked == [EDITED.text]


def test_a_text_that_is_refused_is_not_known(
    configuration: Configuration, validator: Noting
) -> None:
    """It is asked for again, and the text before it stays known."""
    refused = Document(TEXT + "b = { enabled = 3 }\n")
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"^projects\.b\.enabled: must be true"):
            configuration.accept(refused)
    configuration.accept(EDITED)
    assert validator.asked == [*[refused.text] * 2, EDITED.text]
