"""Manners that all commands share: usage, pipes, narrow terminals, Ctrl-C, `--debug`."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
from commands_page import walk
from deadlines import HANG_SECONDS

from rensei_daemon.cli.main import main
from rensei_daemon.errors import DaemonNotRunningError

CHECKOUT = Path(__file__).parents[2]
CONTEXTS = {" ".join(c.command_path.split()[1:]): c for c in walk()}
LEAVES = [path for path, c in CONTEXTS.items() if not isinstance(c.command, click.Group)]
WITHOUT_JSON = {
    "run": "logs, as [log] has it",
    "exec": "its output is that of the worker",
    "demo": "a show",
}


def run(*arguments: str) -> int:
    """Run the command line in this process, and return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    code = exited.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Point commands to a host of our own, with a config and one line of log."""
    (tmp_path / "config.toml").write_text(
        'platform.url = "http://127.0.0.1:9"\n[projects]\nproj_a = {}\n'
    )
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/log.jsonl").write_text('{"event":"a.b","level":"info"}\n')
    settings = {
        "RENSEI_DAEMON_CONFIG": str(tmp_path / "config.toml"),
        "RENSEI_DAEMON_PATHS__STATE": str(tmp_path / "state"),
        "RENSEI_DAEMON_PATHS__RUNTIME": str(tmp_path),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **settings}


NO_NUMBERS = [
    (path, option, text)
    for path in LEAVES
    for option in CONTEXTS[path].command.params
    for kind, texts in (
        (click.IntRange, ("x", "nan")),
        (click.FloatRange, ("x", "nan")),
    )
    if isinstance(option.type, kind)
    for text in texts
]


@pytest.mark.parametrize(("path", "option", "text"), NO_NUMBERS)
def test_what_is_no_number_is_a_usage_error(
    path: str, option: click.Parameter, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who waits for NaN seconds waits for ever; and the error calls no type a range."""
    is_argument = isinstance(option, click.Argument)
    assert run(*path.split(), *([] if is_argument else option.opts), text, "word") == 64
    error = capsys.readouterr().err
    assert error.startswith("rensei-daemon: invalid value for ")
    assert "a valid" not in error or "range" not in error


@pytest.mark.parametrize(
    "command",
    ["status", "run", "logs", "reload", "config path", "config show", "exec", "metrics"],
)
def test_a_working_directory_that_is_gone_is_a_usage_error(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A relative path leads nowhere then; the way out is said, without a traceback."""
    # `run` would harden the process of all later tests.
    monkeypatch.setattr("rensei_daemon.cli.run._prepare_process", lambda: None)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    words = ["--", "true"] if command == "exec" else []
    assert run(*command.split(), "--config", "c.toml", *words) == 64
    assert capsys.readouterr().err == (
        "rensei-daemon: c.toml is relative, and the working directory has been removed\n"
        "  name it from the root, or: cd /\n"
    )


@pytest.mark.parametrize(
    ("command", "text", "hint"),
    [
        ("sync", "", "start it: rensei-daemon run --config"),
        ("exec", "", "start it: rensei-daemon run --config"),
        ("config show", "x", "check it with: rensei-daemon config check"),
    ],
)
def test_a_path_with_a_blank_is_quoted_in_what_to_run(
    command: str,
    text: str,
    hint: str,
    environ: Mapping[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is said can be pasted into a shell."""
    config = tmp_path / "my config.toml"
    config.write_text(text)
    words = ["--wait", "0", "--", "true"] if command == "exec" else []
    assert run(*command.split(), "--config", str(config), *words) in (3, 78)
    assert capsys.readouterr().err.endswith(f"  {hint} '{config}'\n")


@pytest.mark.slow
def test_run_quotes_it_too(tmp_path: Path) -> None:
    """In a process of its own, which it protects."""
    config = tmp_path / "my config.toml"
    config.write_text("")
    words = [sys.executable, "-m", "rensei_daemon", "run", "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr.endswith(f"check it with: rensei-daemon config check '{config}'\n")


def test_no_number_of_lines_is_too_large_to_understand(
    environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that no machine can count to is a usage error, not one of ours."""
    assert run("logs", "-n", "9" * 20) == 64
    assert "is not in the range" in capsys.readouterr().err


@pytest.mark.parametrize("path", LEAVES)
def test_what_has_output_has_json(path: str) -> None:
    """A script reads no tables; who has no JSON says why."""
    options = [option for param in CONTEXTS[path].command.params for option in param.opts]
    assert ("--json" in options) != (path in WITHOUT_JSON)


@pytest.mark.parametrize("path", CONTEXTS)
def test_a_wrong_option_is_a_usage_error(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 64; one line says what, one where to read on."""
    assert run(*path.split(), "--no-such-option") == 64
    out, err = capsys.readouterr()
    what, remedy = err.splitlines()
    assert (out, what.startswith("rensei-daemon: ")) == ("", True)
    assert "--no-such-option" in what
    assert remedy == f"  see: {f'rensei-daemon {path}'.strip()} --help"


@pytest.mark.parametrize("columns", ["20", "40"])
@pytest.mark.parametrize("path", CONTEXTS)
def test_help_fits_a_narrow_terminal(
    path: str,
    columns: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is given, and its sentences are broken to the width there is."""
    monkeypatch.setenv("COLUMNS", columns)
    assert run(*path.split(), "-h") == 0
    out, err = capsys.readouterr()
    assert err == ""
    prose = out.partition("\n\n")[2].partition("\n\n")[0]
    assert max(map(len, prose.splitlines())) <= max(int(columns), 30)


def test_debug_alone_shows_a_traceback(
    environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With it the error is let through to Python; without it there are two lines."""
    with pytest.raises(DaemonNotRunningError):
        main(["--debug", "reload"])
    assert run("reload") == 3
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_closed_stdout_is_no_error() -> None:
    """`>&-` leaves a command without one."""
    check = f'"{sys.executable}" -m rensei_daemon config check config.example.toml >&-'
    done = subprocess.run(
        ["sh", "-c", check], cwd=CHECKOUT, stderr=subprocess.PIPE, check=False
    )
    assert b"internal error" not in done.stderr
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "--completion zsh",
        "run --help",
        "status --json",
        "logs",
        "config path",
        "config check",
        "config show",
        "mutations preview project.add id=b repository=https://github.com/b",
        "access check --batch requests",
        "install --user --dry-run",
        "uninstall --user --dry-run --json",
    ],
)
def test_a_reader_who_has_left_is_no_error(
    environ: Mapping[str, str], tmp_path: Path, command: str
) -> None:
    """`| head -1` ends a command quietly, and does not look like a failure."""
    (tmp_path / "state/status.json").write_text('{"state": "ok"}')
    (tmp_path / "requests").write_text('{"platformAllowed": []}\n')
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rensei_daemon", *command.split()],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=tmp_path,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("logs -f", None),
        ("status --watch", None),
        ("credentials wait", "credentials.sock"),
        ("credentials wait --session build", "credentials.sock"),
        ("exec -- true", "credentials.sock"),
        ("exec --session build -- true", "credentials.sock"),
        ("sync", "control.sock"),
    ],
)
def test_ctrl_c_ends_what_waits(
    environ: Mapping[str, str], tmp_path: Path, command: str, asks: str | None
) -> None:
    """Quietly, with the exit code a shell has for it."""
    with ExitStack() as stack:
        mute = stack.enter_context(socket.socket(socket.AF_UNIX))
        mute.settimeout(HANG_SECONDS)
        if asks is not None:
            mute.bind(str(tmp_path / asks))
            mute.listen()
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "rensei_daemon", *command.split()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environ, "PYTHONUNBUFFERED": "1"},
                cwd=tmp_path,
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stderr is not None
        if asks is None:
            assert process.stdout.readline()
        else:
            stack.enter_context(mute.accept()[0])
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_SECONDS) == 130
        assert process.stderr.read().strip() == b""


@pytest.mark.needs("root")
@pytest.mark.parametrize("command", ["status", "exec", "mutations list", "logs"])
def test_a_config_that_may_not_be_read_hides_its_daemon(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is not said that no daemon runs where the caller's own would."""
    config = tmp_path / "config.toml"
    config.write_text('[paths]\nruntime = "run"\n')
    config.chmod(0o600)
    for name in ("RENSEI_DAEMON_CONFIG", "RENSEI_DAEMON_PATHS__RUNTIME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    words = ["--", "true"] if command == "exec" else []
    os.setresuid(65534, 65534, 0)
    try:
        assert run(*command.split(), "--config", str(config), *words) == 77
    finally:
        os.setresuid(0, 0, 0)
    said = f"{config} says where the daemon's files are, and you may not read it"
    assert capsys.readouterr().err.startswith(f"rensei-daemon: {said}\n")


@pytest.mark.parametrize("command", ["status", "exec", "sync", "logs"])
def test_a_directory_is_no_config(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says nothing of any daemon, and the file in it is what was meant."""
    words = ["--", "true"] if command == "exec" else []
    assert run(*command.split(), "--config", str(tmp_path), *words) == 78
    assert capsys.readouterr().err == (
        f"rensei-daemon: {tmp_path} is a directory\n"
        f"  name the file in it: {tmp_path}/config.toml\n"
    )


@pytest.mark.parametrize("words", [["--config", ""], ["--config="]])
def test_an_empty_config_is_none(
    words: list[str], environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of `run` and of the variable: it is not the working directory."""
    assert run("config", "path", *words) == 0
    assert capsys.readouterr().out == f"{environ['RENSEI_DAEMON_CONFIG']}\n"
    assert run("sync", *words) == 3
    start = f"rensei-daemon run --config {environ['RENSEI_DAEMON_CONFIG']}"
    assert capsys.readouterr().err.endswith(f"  start it: {start}\n")
