"""The splice and the lines under it, where no mutation leads."""

import re
import time
from collections.abc import Iterator

import pytest

from rensei_daemon.core import inline_edit
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.inline_edit import InlineTable
from rensei_daemon.core.toml_edit import TomlEditor
from rensei_daemon.core.toml_layout import Layout
from rensei_daemon.core.toml_scanner import ScanError, read_items, tokens


def test_a_value_brings_the_tables_along_that_nobody_spelled() -> None:
    """The table need not exist before."""
    draft = TomlEditor(Layout(""))
    draft.make(Edit(("a", "b", "c"), ABSENT, 1))
    assert draft.text() == "[a.b]\nc = 1\n"


@pytest.mark.parametrize(
    ("text", "index", "end"),
    [
        ("a = 1\nb = 2\n\n[t]\nc = 3\n", 0, 1),
        ("[t]\na = 1\n# trailing\n\nb = 2\n# nobody's\n\n[u]\n", 0, 5),
        ("[t]\na = 1\n# about u\n[u]\n# its own\n[v]\n", 1, 1),
        ("[t]\na = 1\n# about u\n[u]\n# its own\n[v]\n", 3, 4),
    ],
)
def test_a_section_ends_behind_its_last_statement(text: str, index: int, end: int) -> None:
    """Whichever of its statements is asked about; comments glued below go along."""
    assert Layout(text).section_end(index) == end


@pytest.mark.parametrize("text", ["a 1", "= 1", "[a", "a = 'x"])
def test_what_is_not_toml_has_no_lines(text: str) -> None:
    """The parser should have read it before; otherwise the caller gets an error."""
    with pytest.raises(ValueError, match=r"^not TOML at offset"):
        list(read_items(text))


@pytest.mark.parametrize(
    ("text", "at"),
    [("a = [\n1,\n'\n]\n", 9), ("a = 1\n[b\n", 8), ('c."\\q" = 1\n', 2), ("= 1\n", 0)],
)
def test_an_error_says_where_it_is(text: str, at: int) -> None:
    """A reader continues behind the error, not behind the statement's first line."""
    with pytest.raises(ScanError) as refused:
        list(read_items(text))
    assert refused.value.at == at


def test_reading_starts_at_any_line() -> None:
    """A header before the given line is not known."""
    [item] = read_items("[t]\na = 1\n", 4)
    assert (item.start, item.path) == (4, ("a",))


def test_what_is_not_toml_has_no_tokens() -> None:
    """Nor is an inline table edited that does not end."""
    with pytest.raises(ValueError, match="not TOML at offset 0"):
        list(tokens('"', 0))
    with pytest.raises(ValueError, match="an inline table does not end"):
        InlineTable("{ a = 1")


@pytest.mark.parametrize(
    ("before", "piece", "behind"),
    [
        ('a = "', "x", '"\n'),
        ('a = """', '""x', '"""\n'),
        ("a = '''", "''x", "'''\n"),
        ('a = "', "\\\\", '"\n'),
        ('"', "x", '" = 1\n'),
        ("", " ", "a = 1\n"),
        ("[a", " ", "]\n"),
        ("[a]", " ", "#\n"),
        ("#", "#", ""),
    ],
)
def test_a_megabyte_of_anything_takes_no_time(before: str, piece: str, behind: str) -> None:
    """No pattern is worse than linear on what the parser takes."""
    text = before + piece * (1_000_000 // len(piece)) + behind
    started = time.process_time()
    items = list(read_items(text))
    assert time.process_time() - started < 1
    assert (len(items), items[0].end) == (1, len(text))


def test_an_inline_table_is_split_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its members are edited, or it would take minutes."""
    read: list[int] = []

    def counted(text: str, at: int) -> Iterator[re.Match[str]]:
        read.append(at)
        return tokens(text, at)

    monkeypatch.setattr(inline_edit, "tokens", counted)
    table = InlineTable(f"{{ {', '.join(f'p{n} = {{ on = true }}' for n in range(50))} }}")
    for number in range(0, 50, 2):
        table.make(Edit((f"p{number}",), {"on": True}, ABSENT))
        table.make(Edit((f"p{number + 1}", "on"), True, ABSENT))
        table.make(Edit((f"n{number}",), ABSENT, 1))
    assert table.text.startswith("{ p1 = {}, p3 = {}, ")
    assert table.text.endswith(
        ", p49 = {}, n0 = 1, "
        + ", ".join(f"n{number} = 1" for number in range(2, 50, 2))
        + " }"
    )
    assert len(read) == 50 + 25


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        ("{ a = 1, }", [Edit(("b",), ABSENT, 2)], "{ a = 1, b = 2, }"),
        ("{a=1 ,  b=2,c=3}", [Edit(("b",), 2, ABSENT)], "{a=1 ,  c=3}"),
        ("{a=1 ,  b=2,c=3 }", [Edit(("c",), 3, ABSENT), Edit(("b",), 2, ABSENT)], "{a=1 }"),
        ("{a=1 }", [Edit(("a",), 1, ABSENT), Edit(("a",), ABSENT, 2)], "{ a = 2 }"),
        ("{a.b={x=1}}", [Edit(("a", "b", "x"), 1, 2)], "{a.b={x=2}}"),
        ("{a.x=1, b=2}", [Edit(("a",), {"x": 1}, ABSENT)] * 2, "{b=2}"),
        (
            "{a.x=1, a.y=2}",
            [Edit(("a", "x"), 1, ABSENT), Edit(("a",), {"y": 2}, ABSENT)],
            "{}",
        ),
        (
            "{t={x=1}}",
            [Edit(("t", "y"), ABSENT, 2), Edit(("t",), {"x": 1, "y": 2}, 3)],
            "{t=3}",
        ),
    ],
)
def test_edits_of_one_inline_table(before: str, edits: list[Edit], after: str) -> None:
    """Spaces stay, and an edit sees those before it."""
    table = InlineTable(before)
    for edit in edits:
        table.make(edit)
    assert table.text == after
