"""Edits of files in random spellings; `tests/soak/edit_in_all_spellings.py` makes more."""

import pytest
from rig.edit_trial import try_edits


@pytest.mark.parametrize("seed", range(20))
def test_an_edit_is_true_in_any_spelling(seed: int) -> None:
    """It means what was asked, keeps each line and comment of others, and can go back."""
    try_edits(seed)
