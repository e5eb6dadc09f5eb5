"""The manual that packages carry: complete, and read by roff as it is meant."""

import subprocess

import pytest
from commands_page import walk
from man_pages import escape, pages

PAGES = dict(pages())


def test_every_command_has_a_page() -> None:
    """Named as man(1) looks for it, with its summary for apropos(1)."""
    names = {context.command_path.replace(" ", "-") for context in walk()}
    assert PAGES.keys() == {f"{name}.1" for name in names}
    summary = "rensei\\-daemon\\-status \\- Show the daemon\\(aqs state, its problems and"
    assert f".SH NAME\n{summary}" in PAGES["rensei-daemon-status.1"]


def test_the_first_page_tells_codes_and_files() -> None:
    """What scripts and operators look for there."""
    page = PAGES["rensei-daemon.1"]
    assert ".B 78\nthe configuration cannot be used" in page
    assert ".B /etc/rensei\\-daemon/config.toml" in page


def test_examples_keep_their_lines() -> None:
    """A paragraph that click leaves alone is left alone here."""
    page = PAGES["rensei-daemon-status.1"]
    assert ".nf\nExamples:\n  rensei\\-daemon status\n" in page


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (".hidden", "\\&.hidden"),
        ("'quoted' --option", "\\(aqquoted\\(aq \\-\\-option"),
        ("a\\b", "a\\eb"),
    ],
)
def test_no_text_is_a_request(text: str, spelled: str) -> None:
    """A dot or a quote at the head of a line is roff's own otherwise."""
    assert escape(text) == spelled


@pytest.mark.needs("groff")
def test_roff_has_nothing_to_say() -> None:
    """No warning over any page."""
    words = ["groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-z"]
    done = subprocess.run(
        words, input="".join(PAGES.values()), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
