"""What a session's files may hold, with the line and column of each mistake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.advisories import advisories
from rensei_daemon.settings.host_checks import groups_in
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.texts import parse
from rensei_daemon.settings.values import Session, Settings

HEAD = """\
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
"""
PATH = Path("/c/config.toml")


def _load(text: str, runtime: Path | None = None) -> Settings:
    return load(HEAD + text, path=PATH, environ={}, runtime=runtime)


def _problems(text: str, runtime: Path | None = None) -> Iterator[str]:
    with pytest.raises(SettingsError) as caught:
        _load(text, runtime)
    return (
        str(problem).removeprefix("/c/config.toml:") for problem in caught.value.problems
    )


def _session(text: str) -> Session:
    return _load(text).credentials.resolved_sessions[0]


def test_the_env_file_is_one_of_a_sessions_files() -> None:
    """Its keys mean what they did, and every file takes the session's group."""
    session = _session("""
        group = "build"
        env_file = "build.env"
        env_file_mode = "0400"
        on_rotate = ["/bin/one"]
        [[credentials.sessions.files]]
        path = "db"
        format = "dir"
        names = ["A", "B"]
        rename = { A = "user" }
        mode = "0444"
        group = "db"
        on_rotate = ["/bin/two"]
        [[credentials.sessions.files]]
        path = "all.json"
        format = "json"
    """)
    assert [
        (str(f.path), f.format, f.names, f.permissions, f.group, f.on_rotate)
        for f in session.all_files
    ] == [
        ("build.env", "env", (), 0o400, "build", ("/bin/one",)),
        ("db", "dir", ("A", "B"), 0o444, "db", ("/bin/two",)),
        ("all.json", "json", (), 0o440, "build", ()),
    ]
    assert session.hooks == (("/bin/one",), ("/bin/two",))
    assert session.all_files[1].content.rename == {"A": "user"}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("", '5:1: [credentials.sessions[0].files[0]] lacks the key "path"'),
        (
            'path = "../x"',
            "6:1: credentials.sessions[0].files[0].path: it must name a file, without '..'",
        ),
        (
            'path = "a"\nformat = "toml"',
            "7:1: credentials.sessions[0].files[0].format: must be one of "
            '"env", "plain", "json", "yaml", "dir"',
        ),
        (
            'path = "a"\nformet = "env"',
            '7:1: unknown key "formet" in [credentials.sessions[0].files[0]] '
            '(did you mean "format"?)',
        ),
        (
            'path = "a"\nmode = "rw"',
            "7:1: credentials.sessions[0].files[0].mode: it must be an octal mode in "
            'quotes, like "0440"',
        ),
        (
            'path = "a"\nnames = ["A", "LD_PRELOAD"]',
            "7:15: credentials.sessions[0].files[0].names[1]: no credential has such a "
            "name",
        ),
        (
            'path = "a"\nnames = ["A"]\nrename = { B = "C" }',
            "8:12: credentials.sessions[0].files[0].rename.B: this name is not among the "
            "names of the file",
        ),
        (
            'path = "a"\n[credentials.sessions.files.rename]\nA = "PATH"',
            '8:1: credentials.sessions[0].files[0].rename.A: a file of format "env" can '
            "have no such name",
        ),
        (
            'path = "a"\nformat = "dir"\nrename = { A = "../x" }',
            '8:12: credentials.sessions[0].files[0].rename.A: a file of format "dir" can '
            "have no such name",
        ),
        (
            'path = "a"\nnames = ["A", "B"]\nrename = { A = "B" }',
            "8:1: credentials.sessions[0].files[0].rename: A and B would both be B",
        ),
        (
            'path = "a"\nrename = { A = "C", B = "C" }',
            "7:1: credentials.sessions[0].files[0].rename: A and B would both be C",
        ),
    ],
)
def test_a_mistake_has_its_place(keys: str, problem: str) -> None:
    """The line and column are those of the key that is wrong."""
    assert list(_problems(f"[[credentials.sessions.files]]\n{keys}")) == [problem]


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ('files = "a"', 1),
        ("files = [1]", 1),
        ('files = [{ path = "a", names = 1 }]', 1),
        ('files = [{ path = "a", rename = [] }]', 1),
        ('files = [{ path = "a", rename = { A = 1 } }]', 1),
        ("files = [{ path = 1, names = [1] }]", 2),
    ],
)
def test_a_wrong_type_is_one_problem(keys: str, count: int) -> None:
    """The rules leave it to the model."""
    assert len(list(_problems(keys, Path("/run")))) == count


def test_a_hook_without_its_file_is_refused() -> None:
    """It would run before the files that the operator means are in place."""
    text = 'on_rotate = ["/bin/true"]\nfiles = [{ path = "a" }]'
    assert list(_problems(text)) == [
        "5:1: credentials.sessions[0].on_rotate runs after env_file, and there is none; "
        "put it into the [[credentials.sessions.files]] that it waits for"
    ]
    assert _session('on_rotate = ["/bin/true"]').hooks == (("/bin/true",),)
    assert _session("files = []").all_files == ()


OTHER = '[[credentials.sessions]]\nid = "other"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'env_file = "a"\nfiles = [{ path = "./a" }]',
            "6:12: credentials.sessions[0].files[0].path: session "
            '"build" has the same file, on line 5 '
            "(give each of its files a path of its own)",
        ),
        (
            'files = [{ path = "a", format = "dir" }]\n' + OTHER + 'env_file = "a"',
            '8:1: credentials.sessions[1].env_file: session "build" has the same file, '
            "on line 5 (give each session a file of its own)",
        ),
        (
            'env_file = "a/b"\nfiles = [{ path = "a", format = "dir" }]',
            '5:1: credentials.sessions[0].env_file: session "build" has a directory that '
            "it is in, on line 6 (give each of its files a path of its own)",
        ),
    ],
)
def test_no_two_files_share_a_path(tmp_path: Path, text: str, problem: str) -> None:
    """In one session or in two; a directory has everything below it."""
    assert list(_problems(text, tmp_path)) == [problem]
    _load(text.replace('"a/b"', '"b"').replace('"./a"', '"b"'), None)


def test_the_group_of_a_file_is_checked_on_the_host() -> None:
    """Each with its own key."""
    text = 'group = "one"\nfiles = [{ path = "a" }, { path = "b", group = "two" }]'
    at = ("credentials", "sessions", 0)
    assert list(groups_in(parse(HEAD + text, path=PATH))) == [
        ((*at, "group"), "one"),
        ((*at, "files", 1, "group"), "two"),
    ]


def test_what_deserves_a_second_look() -> None:
    """A file for everybody, and a hook that cannot work."""
    settings = _load(
        'files = [{ path = "a", mode = "0444", on_rotate = ["systemctl", "x"] }]'
    )
    assert [said.split(" has ")[-1].split(" on ")[0] for said in advisories(settings)] == [
        'session "build" runs systemctl',
        "a file a that everybody may open",
    ]


def test_what_is_relative_to_somewhere_else_deserves_it_too() -> None:
    """A hook has no directory of its own, and a file's has to be made by somebody."""
    settings = _load(
        'files = [{ path = "a/b", on_rotate = ["bin/x"] }, { path = "/a/c", '
        'on_rotate = ["/bin/x"] }, { path = "./d", on_rotate = ["true"] }]'
    )
    assert list(advisories(settings)) == [
        'session "build" has the hook bin/x, which is looked up from /; name it from '
        "the root",
        'session "build" has a file a/b, whose directory is not made by the daemon, and '
        "goes with the runtime directory at each stop",
    ]
