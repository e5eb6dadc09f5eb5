"""What a script of `make bench-platform` writes of its rows."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from platform_load.rows import PAGE, Row, measure

SCRIPTS = sorted(
    path.stem.removeprefix("platform_")
    for path in Path(__file__).parent.glob("platform_*.py")
)
WRITTEN = """# A page

<!-- one: begin -->
old
<!-- one: end -->

between

<!-- two: begin -->
of the other
<!-- two: end -->
"""


def test_a_script_rewrites_its_own_part_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What others wrote and what a person wrote stays; a missed target is said."""
    page = tmp_path / "page.md"
    page.write_text(WRITTEN)
    met = Row("beats", "9/s", "8/s", "bare 10/s", True)
    missed = Row("start", "3 s", "2 s", "empty 1 s", False)
    assert not measure("one", 10, [met, missed], page)
    text = page.read_text()
    assert text.endswith(WRITTEN.partition("<!-- one: end -->")[2])
    assert text.startswith(
        "# A page\n\n<!-- one: begin -->\n`tests/bench/platform_one.py 10`"
    )
    assert "| beats | 9/s | 8/s | bare 10/s | met |" in text
    assert "| start | 3 s | 2 s | empty 1 s | **missed** |" in text
    assert "old" not in text
    assert "MISS start: 3 s (target 2 s; empty 1 s)" in capsys.readouterr().out


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    """And all that is met is no failure."""
    assert measure("one", 10, [Row("beats", "9/s", "8/s", "", True)], None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_its_part_of_the_page(script: str) -> None:
    """Or its rows would be put at the page's end."""
    text = PAGE.read_text()
    assert text.count(f"<!-- {script}: begin -->") == 1
    assert text.count(f"<!-- {script}: end -->") == 1
