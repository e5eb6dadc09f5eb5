"""The formats of a session's files: what they hold, and what they refuse to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.file_content import (
    FileContent,
    FileFormat,
    is_key,
    read,
    render,
)
from rensei_daemon.core.rename import rename
from rensei_daemon.errors import DeliveryError

ENV = {"TOKEN": "s3cret", "USER": "ada", "PORT": "5432"}
TRICKY = {
    "NO": "no",
    "LINES": "one\ntwo\r\n",
    "QUOTES": 'it\'s "so"',
    "BACKSLASHES": "\\ \\U0001F600 \\\\U0001F600 end\\",
    "CONTROL": "\x01\x1b\t\x7f\x85",
    "UNICODE": "h\u00e9 \u2028 \ufeff \U0001f600",
    "HASH": "# not: a comment",
    "EMPTY": "",
}
_KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
_VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
)


def _refusal(content: FileContent, env: dict[str, str] = ENV) -> str:
    with pytest.raises(DeliveryError) as caught:
        content.values(env)
    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        (FileFormat.ENV, 'A="x$1"\nNO="y"\n'.replace("$", "\\$")),
        (FileFormat.PLAIN, "A=x$1\nNO=y\n"),
        (FileFormat.JSON, '{\n  "A": "x$1",\n  "NO": "y"\n}\n'),
        (FileFormat.YAML, '"A": "x$1"\n"NO": "y"\n'),
    ],
)
def test_the_text_of_each_format(format_: FileFormat, text: str) -> None:
    """Sorted by name, with a line end at the end."""
    assert render({"NO": "y", "A": "x$1"}, format_).decode() == text


def test_a_file_without_values_is_valid() -> None:
    """YAML needs the braces: an empty text is no mapping there."""
    empty = {format_: render({}, format_) for format_ in FileFormat}
    assert empty == {
        FileFormat.ENV: b"",
        FileFormat.PLAIN: b"",
        FileFormat.JSON: b"{}\n",
        FileFormat.YAML: b"{}\n",
        FileFormat.DIR: b"",
    }


def test_yaml_is_in_ascii_with_escapes_of_its_own() -> None:
    """By the rules of YAML 1.1 and 1.2 for double quotes, whatever a parser folds."""
    text = render({"A": TRICKY["UNICODE"] + TRICKY["CONTROL"]}, FileFormat.YAML)
    assert text == (
        rb'"A": "h\u00E9 \u2028 \uFEFF \U0001F600\u0001\u001b\t\u007F\u0085"' + b"\n"
    )


@pytest.mark.parametrize("format_", FileFormat)
def test_values_are_read_back(format_: FileFormat) -> None:
    """The bundle of `doctor` searches what it packs for every value of a file."""
    values = TRICKY | {"LINES": "one"} if format_ is FileFormat.PLAIN else TRICKY
    assert read(render(values, format_).decode(), format_) == values


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_any_values_survive_yaml_and_json(values: dict[str, str]) -> None:
    """The rules have no gap between two escapes."""
    for format_ in (FileFormat.YAML, FileFormat.JSON):
        assert read(render(values, format_).decode(), format_) == values


@pytest.mark.parametrize(
    ("format_", "text", "values"),
    [
        (FileFormat.JSON, "{", {}),
        (FileFormat.JSON, "[" * 100_000, {}),
        (FileFormat.JSON, "[1]", {}),
        (FileFormat.JSON, '{"A": 1, "B": "x"}', {"B": "x"}),
        (FileFormat.YAML, '"A": "\\x"\n"B": "x"\n', {"B": "x"}),
        (FileFormat.YAML, '"A": "\\UFFFFFFFF"\n', {}),
        (FileFormat.PLAIN, "no value\nA=b=c", {"A": "b=c"}),
    ],
)
def test_what_is_no_value_is_ignored(
    format_: FileFormat, text: str, values: dict[str, str]
) -> None:
    """Another process may have written the file."""
    assert read(text, format_) == values


def test_a_file_has_its_names_under_new_ones() -> None:
    """Of the session's values it gets those it names."""
    content = FileContent(names=("TOKEN", "PORT"), rename={"TOKEN": "PGPASSWORD"})
    assert content.values(ENV) == {"PGPASSWORD": "s3cret", "PORT": "5432"}
    assert (content.has("TOKEN"), content.has("USER")) == (True, False)
    assert FileContent().values(ENV) == ENV
    assert FileContent().has("USER")


def test_a_name_that_is_missing_is_an_error() -> None:
    """A worker would start with half of its credentials."""
    assert _refusal(FileContent(names=("TOKEN", "GONE"))) == "the session has no GONE"
    many = FileContent(names=tuple(f"N{number}" for number in range(9)))
    assert _refusal(many) == "the session has no N0, N1, N2, N3, N4 and 4 more"


def test_two_values_under_one_name_are_an_error() -> None:
    """Neither wins."""
    content = FileContent(rename={"TOKEN": "USER"})
    assert _refusal(content) == "TOKEN and USER would both be USER"
    assert rename({"A": 1, "B": 2}, {"A": "B", "B": "A"}) == {"B": 1, "A": 2}


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_plain_refuses_a_line_break(end: str) -> None:
    """The rest of the value would be another variable."""
    plain = FileContent(format=FileFormat.PLAIN, rename={"TOKEN": "KEY"})
    assert _refusal(plain, {"TOKEN": f"s3cret{end}PATH=/tmp"}) == (
        "the value of KEY has a line break, which the format plain cannot hold"
    )


@pytest.mark.parametrize("format_", [FileFormat.DIR, FileFormat.YAML])
def test_a_name_that_is_too_long_is_refused(format_: FileFormat) -> None:
    """No file has such a name; JSON has no limit."""
    long = {"N" * 256: "s3cret"}
    assert _refusal(FileContent(format=format_), long) == (
        f"the format {format_} cannot hold a name of 256 characters ({'N' * 32}…)"
    )
    assert FileContent(format=FileFormat.JSON).values(long) == long


@pytest.mark.parametrize(
    ("name", "variable", "key"),
    [
        ("TOKEN", True, True),
        ("tls.key", False, True),
        ("LD_PRELOAD", False, True),
        ("..data", False, False),
        ("a/b", False, False),
        ("", False, False),
    ],
)
def test_names_in_files(name: str, *, variable: bool, key: bool) -> None:
    """What sets variables hijacks none; what is a file leads nowhere else."""
    assert is_key(name, FileFormat.ENV) is is_key(name, FileFormat.PLAIN) is variable
    assert is_key(name, FileFormat.DIR) is is_key(name, FileFormat.JSON) is key


def test_the_kind_of_consumer() -> None:
    """An env file is called as ever."""
    assert [format_.consumer_kind for format_ in FileFormat] == [
        "env_file",
        "plain_file",
        "json_file",
        "yaml_file",
        "directory",
    ]
    assert json.loads(render({"A": "b"}, FileFormat.JSON)) == {"A": "b"}
