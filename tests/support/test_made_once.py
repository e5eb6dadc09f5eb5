"""What is made once for the processes of a run is there for all, and gone at its end."""

from pathlib import Path

import pytest
from test_skips import run

pytestmark = pytest.mark.slow

TESTS = """
import os, pytest
from functools import partial
from pathlib import Path
from made_once import VARIABLE, made_once

HERE = Path(__file__).parent

def make(place):
    (place / "by").write_text(str(os.getpid()))
    (HERE / f"made-{os.getpid()}").touch()

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    found = made_once("something", make)
    with (HERE / "found").open("a") as file:
        file.write(f"{found} {(found / 'by').read_text()}\\n")
"""


def test_one_process_makes_it_for_all_of_a_run(tmp_path: Path) -> None:
    """Nobody sees it half made, or finds it after the run."""
    for name in "abcdef":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    ended, said = run(
        tmp_path, TESTS, "-ptemporary", "-pparallel", "--processes=3", TMPDIR=str(tmp_path)
    )
    assert (ended, "21 passed" in said) == (0, True), said
    (made,) = tmp_path.glob("made-*")
    found = (tmp_path / "found").read_text().split("\n")[:-1]
    assert len(found) == 21
    (place, maker) = set(found).pop().split()
    assert set(found) == {f"{place} {maker}"}
    assert made.name == f"made-{maker}"
    assert Path(place).is_relative_to(tmp_path)
    assert not list(tmp_path.glob("rensei-once-*"))
