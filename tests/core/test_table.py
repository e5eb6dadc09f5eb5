"""Tables fit the width, and nothing of them is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.table import Cell, Column, break_text, display_width, draw

COLUMNS = (Column("ID"), Column("BY", is_flexible=True), Column("WHY", is_flexible=True))
ROWS = [
    [Cell("dmut_1"), Cell("ann@acme.test"), Cell("project a is protected on this host")],
    [Cell("dmut_20"), Cell("bo"), Cell("")],
]


def plain(text: str, _: str) -> str:
    """Paint nothing."""
    return text


def test_a_table_that_fits() -> None:
    """A title above each column, two blanks between them, none at the end."""
    assert draw(COLUMNS, ROWS, width=80, paint=plain) == [
        "ID       BY             WHY",
        "dmut_1   ann@acme.test  project a is protected on this host",
        "dmut_20  bo",
    ]


def test_a_narrower_one_breaks_its_flexible_cells() -> None:
    """The widest first."""
    assert draw(COLUMNS, ROWS, width=44, paint=plain) == [
        "ID       BY             WHY",
        "dmut_1   ann@acme.test  project a is",
        "                        protected on this",
        "                        host",
        "dmut_20  bo",
    ]


def test_one_that_does_not_fit_becomes_blocks() -> None:
    """Empty cells are left out."""
    assert draw(COLUMNS, ROWS, width=24, paint=plain) == [
        "ID   dmut_1",
        "BY   ann@acme.test",
        "WHY  project a is",
        "     protected on this",
        "     host",
        "",
        "ID   dmut_20",
        "BY   bo",
    ]


def test_two_flexible_columns_share() -> None:
    """The wider one gives until it is as wide as the other, and then both do."""
    rows = [[Cell("1"), Cell("b" * 30), Cell("w" * 40)]]
    lines = draw(COLUMNS, rows, width=50, paint=plain)
    assert max(map(len, lines)) <= 50
    assert "".join(lines).count("b") == 30
    assert "".join(lines).count("w") == 40


def test_colours_do_not_count() -> None:
    """Nor do they reach into the gap."""
    rows = [[Cell("ab", "good"), Cell("c")]]
    columns = (Column("A"), Column("B"))
    painted = draw(columns, rows, width=40, paint=lambda text, style: f"<{style}{text}>")
    assert painted == ["<titleA>   <titleB>", "<goodab>  <c>"]


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("建置", 4), ("e\u0301a", 2), ("ｗ", 2), ("é", 1), ("🚀", 2)],
)
def test_wide_and_combining_characters(text: str, width: int) -> None:
    """Count as a terminal shows them."""
    assert display_width(text) == width


def test_a_wide_character_is_not_halved() -> None:
    """It goes to the next line, or stands alone in a column too narrow for it."""
    assert break_text("建置主機", 5) == ["建置", "主機"]
    assert break_text("建置", 1) == ["建", "置"]


_TEXT = st.text("ab 建é-", max_size=40).map(lambda text: " ".join(text.split()))


@given(
    st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=1, max_size=4),
    st.integers(min_value=12, max_value=80),
)
def test_nothing_is_cut(rows: list[tuple[str, str, str]], width: int) -> None:
    """And no line is wider than the terminal."""
    cells = [[Cell(text) for text in row] for row in rows]
    lines = draw(COLUMNS, cells, width=width, paint=plain)
    assert max(map(display_width, lines)) <= width
    drawn = "".join(lines)
    for mark in "ab建é-":
        assert drawn.count(mark) == sum(text.count(mark) for row in rows for text in row)
