"""Which texts the configuration in force has validated, and which it knows already."""

from pathlib import Path

import pytest
from valid_texts import accept

from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.configuration import Configuration, validated
from rensei_daemon.settings.loading import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings

TEXT = "[platform]\nurl = 'https://a.test'\n[projects]\na = {}\n"
EDITED = Document(TEXT + "b = { enabled = false }\n")


class Noting(LocalValidator):
    """A validator that notes what it is asked for."""

    asked: list[str]

    def load(self, text: str, *, on_host: bool = False) -> Settings:
        """Note the text."""
        self.asked.append(text)
        return super().load(text, on_host=on_host)

    def accept(self, text: str) -> Settings:
        """Note the text."""
        self.asked.append(text)
        return super().accept(text)


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
    assert validator.asked == []


def test_an_edit_of_a_text_that_was_just_read_is_known(
    configuration: Configuration, validator: Noting
) -> None:
    """What a person has changed elsewhere was validated as it was read."""
    by_hand = TEXT.replace("[projects]", "[log]\nlevel = 'error'\n[projects]")
    configuration.file.path.write_text(by_hand)
    assert configuration.read().settings.log.level == "error"
    edited = Document(by_hand + "b = {}\n")
    assert configuration.accept(edited) == accept(edited)
    assert validator.asked == [by_hand]


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("a.test", "b.test"),
        TEXT + "[log]\nlevel = 'debug'\n",
        TEXT + "[pool]\nsince = '2026-11-23T16:00:00Z'\n",
    ],
)
def test_any_other_text_is_validated(
    configuration: Configuration, validator: Noting, text: str
) -> None:
    """The settings of another table are not taken from the text before it."""
    document = Document(text)
    assert configuration.accept(document) == accept(document)
    assert validator.asked == [text]


def test_a_text_that_is_refused_is_not_known(
    configuration: Configuration, validator: Noting
) -> None:
    """It is asked for again, and the text before it stays known."""
    refused = Document(TEXT + "b = { enabled = 3 }\n")
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"^projects\.b\.enabled: must be true"):
            configuration.accept(refused)
    configuration.accept(EDITED)
    assert validator.asked == [refused.text] * 2
