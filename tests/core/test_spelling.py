"""The name that was probably meant."""

import pytest

from rensei_daemon.core.spelling import nearest


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("levvl", 'did you mean "level"?'),
        ("LEVEL", 'did you mean "level"?'),
        ("machineid", 'did you mean "machineId"?'),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_the_likeliest_known_word_is_named(word: str, expected: str) -> None:
    """Whatever its case; none if nothing is like it."""
    assert nearest(word, ["format", "level", "machineId"]) == expected


def test_the_question_can_be_another() -> None:
    """The question precedes the name."""
    assert nearest("levvl", ["level"], what="see") == 'see "level"?'
