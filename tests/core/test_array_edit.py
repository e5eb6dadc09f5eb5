"""Arrays that are edited in place."""

from datetime import UTC, datetime

import pytest

from rensei_daemon.core.array_edit import edit_array


def test_what_the_text_does_not_mean_is_not_edited() -> None:
    """The caller fails the mutation, rather than guess which element is which."""
    with pytest.raises(ValueError, match="does not hold what it means"):
        edit_array("[1, 2]", [1], [(1, "1")])


def test_a_time_may_have_a_blank_in_it() -> None:
    """TOML allows a blank between date and time; they are one value."""
    moment = datetime(1979, 5, 27, 7, 32, tzinfo=UTC)
    text = "[1979-05-27 07:32:00Z, 2] # no more"
    assert edit_array(text.partition(" #")[0], [moment, 2], [(moment, "?"), (3, "3")]) == (
        "[1979-05-27 07:32:00Z, 3]"
    )


def test_types_count() -> None:
    """A number is not the truth value that equals it."""
    assert edit_array("[1, 1.0, true]", [1, 1.0, True], [(True, "?"), (1, "?")]) == (
        "[true, 1]"
    )


def test_the_same_value_twice_is_two_elements() -> None:
    """Each keeps its own comment, in their order."""
    text = "[\n  1, # first\n  1, # second\n]"
    assert edit_array(text, [1, 1], [(1, "?")]) == "[\n  1, # first\n]"
    assert edit_array(text, [1, 1], [(1, "?"), (1, "?"), (1, "1")]) == (
        "[\n  1, # first\n  1, # second\n  1,\n]"
    )


def test_line_ends_are_kept() -> None:
    """Of a CRLF array every line stays one, also where a loose comment is left."""
    text = '["a", # own\r\n  # loose\r\n\r\n  "b" # beside\r\n]'
    assert edit_array(text, ["a", "b"], [("a", "?"), ("c", '"c"')]) == (
        '["a", # own\r\n  "c"\r\n  # loose\r\n\r\n]'
    )
    assert edit_array(text, ["a", "b"], [("b", "?"), ("a", "?")]) == (
        '[\r\n  # loose\r\n\r\n  "b", # beside\r\n  "a" # own\r\n]'
    )


def test_a_comma_behind_a_comment_is_kept_there() -> None:
    """An odd place for it is a place all the same."""
    text = '["a" # own\n , "b"]'
    assert edit_array(text, ["a", "b"], [("a", "?")]) == '["a" # own\n ]'
