"""The splice and the lines under it, where no mutation leads."""

import time

import pytest

from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.inline_edit import edit_inline
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
        edit_inline("{ a = 1", Edit(("a",), 1, 2))


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
