"""What the platform sent is measured before anything else reads it."""

from typing import Any

import pytest

from rensei_daemon.core.mutation_params import text
from rensei_daemon.core.pending_mutation import can_be_answered, delivered
from rensei_daemon.errors import MutationError


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        ({}, ""),
        ({"id": "i" * 257}, "id of 257 characters: this daemon takes at most 256"),
        ({"op": "o" * 129}, "op of 129 characters: this daemon takes at most 128"),
        (
            {"params": {"a": "x" * 2**18}},
            "params of 262152 characters: this daemon takes at most 262144",
        ),
        ({"id": "m 1"}, "the mutation's id holds U+0020, which cannot be shown"),
        ({"id": "m\u200b"}, "the mutation's id holds U+200B, which cannot be shown"),
        ({"id": "m\u3164"}, "the mutation's id holds U+3164, which cannot be shown"),
    ],
)
def test_what_is_over_a_limit_is_refused_in_words(
    sent: dict[str, Any], refusal: str
) -> None:
    """Of it only the digest is kept, so that a changed redelivery is still noticed."""
    whole: dict[str, Any] = {"id": "m1", "op": "project.add", "params": {"a": 1}} | sent
    made = delivered(**whole)
    assert made.refusal == refusal
    assert made.params == (None if refusal else whole["params"])
    assert len(made.op) <= 128
    assert len(made.digest) == 64


@pytest.mark.parametrize(
    ("id_", "can"),
    [("m1", True), ("", False), ("x" * 2**16 + "x", False), ("\ud800", False)],
)
def test_an_id_that_cannot_be_sent_back_cannot_be_answered(id_: str, can: bool) -> None:
    """It is kept on record, and sent to the letter."""
    assert can_be_answered(id_) is can


def test_a_text_has_the_limit_of_its_kind() -> None:
    """A longer one fails by name."""
    assert text("abc", "repository", most=3) == "abc"
    with pytest.raises(MutationError, match="repository of 4 characters: at most 3"):
        text("abcd", "repository", most=3)


def test_only_params_that_are_kept_have_a_size() -> None:
    """The size is the space a delivery needs in the journal."""
    assert delivered(id="a", op="x", params={"id": "p"}).size == 10
    assert delivered(id="a", op="x" * 129, params={"id": "p"}).size == 0


def test_room_is_what_a_row_and_its_pages_take() -> None:
    """What is longer than a page leaves the rest of its last one empty."""
    small = delivered(id="é", op="x", params=1, requested_at="at", requested_by="by")
    assert small.record_bytes == 1024 + 2 * (4 + 1 + 4) + 2 * 1
    large = delivered(id="a", op="x", params="p" * 9998)
    assert large.record_bytes == 1024 + 2 * 3 + 10_000 + 4096
