"""`rensei-daemon config`, as the shell sees it."""

import json
import os
from pathlib import Path

import forked
import pytest

from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.errors import SettingsError

PLATFORM = 'platform.url = "http://127.0.0.1:9"\n'
GOOD = f'{PLATFORM}[machine]\nname = "build-01"\n[log]\nlevel = "debug"\n'


def run(*arguments: str | Path, stdin: str = "", **environ: str) -> tuple[int, str, str]:
    """Run `rensei-daemon config ...` and return its code and what it printed."""
    done = forked.run(
        *("rensei_daemon", "config", *map(str, arguments)),
        text=stdin,
        env={"HOME": "/nowhere"} | environ,
    )
    return done.returncode, done.stdout, done.stderr


def written(folder: Path, text: str) -> Path:
    """Write a config."""
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_path(tmp_path: Path) -> None:
    """`config path` prints the file in use, whether or not it exists."""
    path = tmp_path / "config.toml"
    assert run("path", "--config", path) == (0, f"{path}\n", "")
    assert run("path", RENSEI_DAEMON_CONFIG=str(path)) == (0, f"{path}\n", "")


def test_check_good(tmp_path: Path) -> None:
    """A good file is called good."""
    path = written(tmp_path, GOOD)
    assert run("check", path) == (0, f"{path}: ok\n", "")


def test_check_bad(tmp_path: Path) -> None:
    """Each problem is a bare line with file, line, column and a suggestion; exit 78."""
    path = written(tmp_path, '[log]\nlevels = "debug"\n[machne]\n')
    assert run("check", path) == (
        78,
        "",
        f'{path}:2:1: unknown key "levels" in [log] (did you mean "level"?)\n'
        f'{path}:3:1: unknown key "machne" at the top level'
        ' (did you mean "machine"?)\n',
    )


def test_check_standard_input() -> None:
    """`-` checks a file before it is put in place."""
    assert run("check", "-", stdin=GOOD) == (0, "<stdin>: ok\n", "")
    code, _, said = run("check", "-", stdin="a =")
    assert (code, said) == (
        78,
        "<stdin>:1:4: this is no value: a text needs quotes\n",
    )


def test_check_without_a_platform(tmp_path: Path) -> None:
    """A daemon's own file must name its platform; another gets a note."""
    path = written(tmp_path, '[log]\nlevel = "debug"\n[platform]\norg_id = "o"\n')
    assert run("check", "--config", path) == (
        78,
        "",
        f"{path}:3:1: platform.url is not set\n",
    )
    note = f"{path}: note: platform.url is not set\n"
    assert run("check", path) == (0, f"{path}: ok\n", note)
    url = {"RENSEI_DAEMON_PLATFORM__URL": "http://127.0.0.1:9"}
    assert run("check", "--config", path, **url) == (0, f"{path}: ok\n", "")
    assert run("check", path, RENSEI_DAEMON_CONFIG=str(path))[0] == 78


def test_check_missing(tmp_path: Path) -> None:
    """A missing file is a problem that says how to begin."""
    path = tmp_path / "config.toml"
    assert run("check", path) == (
        78,
        "",
        f"rensei-daemon: {path}: there is no such file\n"
        "  write one: rensei-daemon install, or copy config.example.toml there\n",
    )


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_file_that_is_not_utf8(tmp_path: Path, command: str) -> None:
    """Line and column of the first bad byte are those that the daemon names."""
    path = tmp_path / "config.toml"
    path.write_bytes("[log]\nlevel = 'é".encode() + b"\xff'\n")
    code, _, said = run(command, "--config", path)
    assert (code, said.removeprefix("rensei-daemon: ").splitlines()[0]) == (
        78,
        f"{path}:2:11: not UTF-8",
    )
    with pytest.raises(SettingsError) as refused:
        ConfigFile(path).read()
    assert str(refused.value) == f"{path}:2:11: not UTF-8"


def test_check_reads_a_pipe_up_to_a_limit(tmp_path: Path) -> None:
    """FILE may be a pipe, an endless device is refused, the host's own is neither."""
    # As /dev/stdin, which a minimal system may lack.
    pipe = "/proc/self/fd/0"
    assert run("check", pipe, stdin=GOOD) == (0, f"{pipe}: ok\n", "")
    code, _, said = run("check", "/dev/zero")
    assert (code, said.splitlines()[0]) == (
        78,
        "rensei-daemon: /dev/zero: larger than 16 MiB",
    )
    path = tmp_path / "config.toml"
    os.mkfifo(path)
    code, _, said = run("check", "--config", path)
    assert (code, said.splitlines()[0]) == (
        78,
        f"rensei-daemon: {path}: not a regular file",
    )


def test_check_advises(tmp_path: Path) -> None:
    """What is allowed but will not work as hoped is noted, and stays exit 0."""
    path = written(
        tmp_path,
        f'{PLATFORM}[[credentials.sessions]]\nid = "a"\n'
        'env_file = "a.env"\nenv_file_mode = "0444"\n'
        'on_rotate = ["/bin/systemctl", "reload", "worker"]\n'
        '[projects."a b"]\nrepositories = ["https://u:canary@git.example/x"]\n',
    )
    code, _, said = run("check", path)
    assert code == 0
    assert [line.split(": ", 2)[1] for line in said.splitlines()] == ["note"] * 4
    assert 'projects."a b" has a repository with a user name' in said
    assert "canary" not in said
    assert "use a .path unit on its env_file instead" in said


def test_path_json(tmp_path: Path) -> None:
    """A script learns whether it is there, and the directories that go with it."""
    path = written(tmp_path, '[paths]\nstate = "s"\nruntime = "r"\n')
    code, told, _ = run("path", "--config", path, "--json")
    assert (code, json.loads(told)) == (
        0,
        {
            "path": str(path),
            "exists": True,
            "state": f"{tmp_path}/s",
            "runtime": f"{tmp_path}/r",
        },
    )


def test_check_json_bad(tmp_path: Path) -> None:
    """Each problem in its parts: where, which key, what, and what was probably meant."""
    path = written(tmp_path, '[log]\nlevels = "debug"\n')
    code, told, said = run("check", path, "--json", RENSEI_DAEMON_LOG__LEVEL="loud")
    variable = "RENSEI_DAEMON_LOG__LEVEL"
    message = 'log.level: must be one of "debug", "info", "warning", "error"'
    nowhere = {"file": None, "line": None, "column": None}
    assert (code, said, json.loads(told)) == (
        78,
        "",
        {
            "path": str(path),
            "valid": False,
            "problems": [
                {"message": message, "hint": None, "key": variable, **nowhere},
                {
                    "message": 'unknown key "levels" in [log]',
                    "hint": 'did you mean "level"?',
                    "key": "log.levels",
                    "file": str(path),
                    "line": 2,
                    "column": 1,
                },
            ],
            "notes": [],
        },
    )


def test_check_json_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A problem without a line is one all the same."""
    code, told, _ = run("check", "--config", tmp_path / "no.toml", "--json")
    [problem] = json.loads(told)["problems"]
    assert (code, problem["message"]) == (78, "there is no such file")
    hint = "write one: rensei-daemon install, or copy config.example.toml there"
    assert problem["hint"] == hint


def test_check_json_good(tmp_path: Path) -> None:
    """What deserves a second look is a note, and the file is valid."""
    path = written(tmp_path, f'{PLATFORM}[[credentials.sessions]]\nid = "a"\n')
    code, told, _ = run("check", path, "--json")
    answer = json.loads(told)
    assert (code, answer["valid"], answer["problems"]) == (0, True, [])
    assert [note.split(" ")[0] for note in answer["notes"]] == ["session"]


def test_check_notes_a_file_in_the_way(tmp_path: Path) -> None:
    """Root's daemon would have replaced it within two seconds."""
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh")
    sessions = 'credentials.sessions = [{ id = "a", project_id = "p", env_file = "%s" }]\n'
    path = written(tmp_path, PLATFORM + sessions % (tmp_path / "passwd"))
    code, _, said = run("check", "--config", path)
    assert code == 0
    assert f'note: session "a" has a file {tmp_path}/passwd, which exists' in said


@pytest.mark.parametrize(
    ("address", "is_noted"),
    [
        ("127.0.0.1:9464", False),
        ("[::1]:9464", False),
        ("0.0.0.0:9464", True),
        ("[::]:9464", True),
    ],
)
def test_check_notes_who_may_read_the_metrics(
    tmp_path: Path, address: str, is_noted: bool
) -> None:
    """An address that others reach is allowed, and deserves a second look."""
    code, _, said = run("check", written(tmp_path, f'metrics.listen = "{address}"\n'))
    assert code == 0
    assert ("everybody who reaches it may read the metrics" in said) == is_noted


def test_show(tmp_path: Path) -> None:
    """`config show` prints what is in force, as TOML that loads again."""
    path = written(tmp_path, GOOD)
    code, shown, _ = run("show", "--config", path, RENSEI_DAEMON_LOG__LEVEL="error")
    assert code == 0
    assert '[machine]\nname = "build-01"\nmax_sessions = 4\n' in shown
    assert '[log]\nlevel = "error"\n' in shown
    assert run("check", "-", stdin=shown) == (0, "<stdin>: ok\n", "")


@pytest.mark.parametrize("depth", [64, 65, 300])
def test_what_is_nested_too_deeply_is_refused_everywhere(
    tmp_path: Path, depth: int
) -> None:
    """A file that passes the check can be shown; how deep is too deep is known."""
    deep = f"{'[' * depth}{']' * depth}"
    cell = f"byok = {{ allowed = true, enforce = {deep} }}\n"
    path = written(tmp_path, f"{GOOD}[model_access.default.matrix.anthropic]\n{cell}")
    codes = [run(*words, "--config", path)[0] for words in (["show"], ["show", "--json"])]
    code, _, said = run("check", path)
    wanted = 0 if depth == 64 else 78
    assert [code, *codes] == [wanted] * 3
    assert ("enforce: is nested too deeply: 64 levels at most" in said) == (depth > 64)


def test_show_json(tmp_path: Path) -> None:
    """With --json every key is there, and the directories as they were found."""
    path = written(tmp_path, '[paths]\nstate = "s"\nruntime = "r"\n')
    code, shown, _ = run("show", "--config", path, "--json")
    assert code == 0
    tree = json.loads(shown)
    assert tree["platform"] == {
        "url": "https://your-platform.invalid",
        "org_id": None,
        "worker_host_id": None,
        "api_key_file": None,
        "ca_file": None,
        "client_cert_file": None,
        "client_key_file": None,
    }
    assert tree["paths"] == {"state": f"{tmp_path}/s", "runtime": f"{tmp_path}/r"}
