"""An env file, read back by the shell that workers use."""

import os
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rensei_daemon.core.env_file import read_env_file, render_env_file

_VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
)
_TRICKY = {
    "LINES": "one\ntwo\n\nfour\n",
    "QUOTES": "it's \"so\" 'so'",
    "DOLLARS": "$HOME ${HOME} $(id) $1 $$ $",
    "BACKQUOTES": "`id`",
    "BACKSLASHES": "\\ \\\\ \\n \\\n end\\",
    "UNICODE": "héllo 🙂 \u2028 \x85",
    "SPACES": "  tab\there  ",
    "COMMENT": "# not one",
    "BANG": "!! !$ ~ * ?",
    "CARRIAGE": "a\r\nb\r",
    "CONTROL": "\x01\x1b[31m\x7f",
    "EMPTY": "",
}


def _read_by_sh(text: str, names: list[str]) -> dict[str, str]:
    """Source the text in a bare `sh`, and return what each name then holds."""
    prints = "".join(f'printf "%s\\0" "${name}"; ' for name in names)
    found = subprocess.run(
        ["/bin/sh", "-c", f"set -eu; {text}{prints}"],
        env={"HOME": "/nowhere", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    values = found.stdout.split(b"\0")[:-1]
    return {name: os.fsdecode(value) for name, value in zip(names, values, strict=True)}


def test_a_shell_reads_back_every_value(tmp_path: Path) -> None:
    """`. file` gives each variable exactly its value, line breaks and all."""
    file = tmp_path / "build.env"
    file.write_bytes(render_env_file(_TRICKY).encode())
    assert _read_by_sh(f". {file}\n", list(_TRICKY)) == _TRICKY


@settings(max_examples=25, deadline=None)
@given(st.lists(_VALUES, min_size=20, max_size=20))
def test_a_shell_reads_back_any_value(values: list[str]) -> None:
    """Whatever the text, twenty at a time, the shell reads what was written."""
    env = {f"V{number}": value for number, value in enumerate(values)}
    assert _read_by_sh(render_env_file(env), list(env)) == env


def test_names_are_sorted() -> None:
    """The same values always make the same file."""
    assert render_env_file({"B": "2", "A": "1"}) == 'A="1"\nB="2"\n'
    assert render_env_file({}) == ""


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), _VALUES))
def test_it_is_read_back_as_it_was_spelled(env: dict[str, str]) -> None:
    """Every value, whatever lines and quotes are in it."""
    assert read_env_file(render_env_file(env)) == env


def test_what_we_did_not_spell_is_passed_over() -> None:
    """A person may have put a file of their own there."""
    text = '# a comment\nexport A="a"\nB=b\nC="c"\nD="broken\n'
    assert read_env_file(text) == {"C": "c"}
