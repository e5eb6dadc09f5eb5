"""Every command in every kind of trouble: two lines on stderr, and the documented code."""

import http.server
import inspect
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from privileges import as_nobody, hidden_files

from rensei_daemon import errors, process
from rensei_daemon.cli import control
from rensei_daemon.cli.main import main
from rensei_daemon.cli.root import root
from rensei_daemon.errors import RenseiError


class Codes(NamedTuple):
    """How a command exits in each kind of trouble; None where it would do its job."""

    invalid: int | None
    """The configuration holds a value that cannot be used."""
    unreadable: int | None
    """This user may not read the configuration."""
    stopped: int | None
    """No daemon runs, and the platform is out of reach."""
    silent: int | None
    """A daemon runs and does not answer."""


ASKS_DAEMON = Codes(invalid=3, unreadable=77, stopped=3, silent=1)
READS_RECORD = ASKS_DAEMON
"""Of a daemon with a journal, a silent one is no trouble."""
ASKS_PLATFORM = Codes(invalid=78, unreadable=77, stopped=69, silent=69)
READS_CONFIG = Codes(invalid=78, unreadable=77, stopped=None, silent=None)

COMMANDS = {
    "run": Codes(invalid=78, unreadable=78, stopped=None, silent=None),
    "status": ASKS_DAEMON._replace(silent=2),
    "reload": ASKS_DAEMON,
    "sync": ASKS_DAEMON,
    "metrics": ASKS_DAEMON,
    "logs --set-level info": ASKS_DAEMON,
    "credentials list": ASKS_DAEMON,
    "credentials wait --timeout 0.1": ASKS_DAEMON,
    "credentials get TOKEN --timeout 0.1": ASKS_DAEMON,
    "exec --wait 0.1 -- true": ASKS_DAEMON,
    "config rollback 1": ASKS_DAEMON,
    "config history": READS_RECORD,
    "config diff": READS_RECORD,
    "config blame": READS_RECORD,
    "mutations list": READS_RECORD,
    "mutations show m": READS_RECORD,
    "mutations list --remote --host h": ASKS_PLATFORM,
    "mutations enqueue project.enable id=p --host h": ASKS_PLATFORM,
    "mutations cancel m": ASKS_PLATFORM,
    "credentials rotate github --org o": ASKS_PLATFORM,
    "config show": READS_CONFIG,
    "config check": READS_CONFIG,
    "mutations preview project.add id=p repository=https://a.test/r": READS_CONFIG,
    "access check --workload w --company c --model m --auth-mode byok --ceiling byok": (
        READS_CONFIG
    ),
}
"""Every command with `--config`, but for those that never fail over it."""

NEVER_STOPPED = {"config path", "doctor", "mutations ops"}
"""They tell what they find: `path` where the file would be, `doctor` what is wrong; `ops`
needs no file, but takes the option, which hints put behind every command."""

WITHOUT_CONFIG = {"demo", "install", "uninstall"}

CODES = {
    "RenseiError": 1,
    "UncheckedError": 1,
    "UsageError": 64,
    "SettingsError": 78,
    "StateInUseError": 75,
    "NotInTimeError": 75,
    "NotPermittedError": 77,
    "NotRunnableError": 126,
    "NotFoundError": 127,
    "PlatformError": 69,
    "TransientError": 69,
    "UnauthorizedError": 77,
    "RefusedError": 69,
    "StorageError": 1,
    "DeliveryError": 1,
    "ControlError": 1,
    "DaemonNotRunningError": 3,
    "DaemonSilentError": 2,
    "ControlRefusedError": 1,
}
"""What the README and the product say; an error of a mutation never reaches a shell."""


def run(*words: str) -> int:
    """Run the command line in this process, and return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(words)
    code = exited.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without a daemon, with a key, whose platform is not there."""
    write(tmp_path, "http://127.0.0.1:9")
    monkeypatch.setenv("RENSEI_API_KEY", "rsk_live_canary_0123456789")
    monkeypatch.setenv("RENSEI_DAEMON_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    # `run` would harden the process of all later tests: its umask, its core limit.
    monkeypatch.setattr(process, "harden", lambda: None)
    return tmp_path


def write(host: Path, url: str, more: str = "") -> None:
    """Save a configuration."""
    paths = '[paths]\nstate = "state"\nruntime = "."\n'
    (host / "config.toml").write_text(f'[platform]\nurl = "{url}"\n{paths}{more}')


def assert_two_lines(capsys: pytest.CaptureFixture[str], *, of: str) -> str:
    """One line what, one line what to do, nothing for scripts to misread; return both."""
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (of, out, len(lines)) == (of, "", 2), err
    assert lines[0].startswith("rensei-daemon: ")
    assert lines[1].startswith("  ")
    assert len(lines[1].strip()) > 3
    assert "canary" not in err
    assert "Traceback" not in err
    return err


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join((*path, name)), command


PROGRAM = dict(leaves(root))


def named(line: str) -> str:
    """Return the command that a line calls."""
    return next(name for name in PROGRAM if f"{line} ".startswith(f"{name} "))


def with_option(line: str, *option: str) -> list[str]:
    """Return the words of a line with an option of our own; those of CMD follow `--`."""
    ours, *separator, theirs = line.partition(" -- ")
    return [*ours.split(), *option, *(["--", *theirs.split()] if separator[0] else [])]


def troubled(kind: str) -> list[tuple[str, int]]:
    """Return (line, code) of each command that this trouble stops."""
    found = [(line, getattr(codes, kind)) for line, codes in COMMANDS.items()]
    return [(line, code) for line, code in found if code is not None]


def test_every_command_is_in_the_table() -> None:
    """A new one has to be given its codes."""
    with_config = {
        name
        for name, command in PROGRAM.items()
        if any(parameter.name == "config" for parameter in command.params)
    }
    assert {named(line) for line in COMMANDS} | NEVER_STOPPED == with_config
    others = PROGRAM.keys() - with_config
    assert others == WITHOUT_CONFIG


@pytest.mark.parametrize("command", sorted(PROGRAM))
def test_a_wrong_option_is_64(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read or done."""
    assert run(*command.split(), "--frobnicate") == 64
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_config_that_is_not_there_is_78(
    host: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """When `--config` names it, for every command alike."""
    assert run(*with_option(command, "--config", str(host / "none.toml"))) == 78
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize(("command", "code"), troubled("invalid"))
def test_a_configuration_that_cannot_be_used(
    host: Path, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """With file, line and column; `config check` says one line a problem."""
    write(host, "http://127.0.0.1:9", "[log]\nlevel = 7\n")
    assert run(*command.split()) == code
    if command != "config check":
        assert_two_lines(capsys, of=command)
    else:
        assert f"{host}/config.toml:7:1: log.level" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "code"), troubled("unreadable"))
def test_a_configuration_that_this_user_may_not_read(
    host: Path, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No fault of the configuration, but for the daemon; the others ask for sudo.

    Without it nobody knows where the daemon's socket is, so none is said not to run.
    """
    (host / "config.toml").chmod(0)
    with hidden_files():
        assert run(*command.split()) == code
    if code == 77:
        assert "use sudo" in assert_two_lines(capsys, of=command)


@pytest.mark.parametrize(("command", "code"), troubled("stopped"))
def test_without_a_daemon_and_a_platform(
    host: Path, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy starts this very daemon; the platform is named with the cause."""
    assert run(*command.split()) == code
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize(("command", "code"), troubled("silent"))
def test_a_daemon_that_does_not_answer(
    host: Path,
    command: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process listens at both sockets and says nothing."""
    monkeypatch.setattr(control, "PULSE_SECONDS", 0.1)
    monkeypatch.setattr(control.ask, "__kwdefaults__", {"timeout_seconds": 0.1})
    with ExitStack() as hung:
        for name in ("control.sock", "credentials.sock"):
            socket_ = hung.enter_context(socket.socket(socket.AF_UNIX))
            socket_.bind(str(host / name))
            socket_.listen()
        assert run(*command.split()) == code
    assert_two_lines(capsys, of=command)


@pytest.mark.slow
def test_what_is_never_stopped_by_the_configuration(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config path` says where it is, `doctor` what is wrong with it."""
    write(host, "http://127.0.0.1:9", "[log]\nlevel = 7\n")
    assert run("config", "path") == 0
    assert capsys.readouterr() == (f"{host}/config.toml\n", "")
    # It ends its process itself.
    found = subprocess.run(
        [sys.executable, "-m", "rensei_daemon", "doctor", "--json"],
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (1, "")
    assert f"{host}/config.toml:7:1: log.level" in found.stdout


@pytest.mark.parametrize(
    ("worker", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -INT $$"), -2),
        (("./none",), 127),
        (("./config.toml",), 126),
    ],
)
def test_exec_ends_as_its_command_does(
    host: Path, worker: Sequence[str], code: int
) -> None:
    """It takes this process's place; 127 when it is not there, 126 when it can't start."""
    options = ("exec", "--without-credentials", "--wait", "0", "--on-rotate", "none")
    ended = subprocess.run(
        [sys.executable, "-m", "rensei_daemon", *options, "--", *worker],
        cwd=host,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code
    going_on, *lines = ended.stderr.splitlines()
    assert going_on.endswith("going on without credentials")
    assert len(lines) == (2 if code > 100 else 0), lines


@pytest.mark.needs("root")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_only_root_changes_the_services_of_a_host(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other users get a hint to use sudo or --user."""
    with as_nobody():
        assert run(command) == 77
    assert "--user" in assert_two_lines(capsys, of=command)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_options_that_exclude_each_other_are_64(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As any other wrong usage is."""
    assert run(command, "--user", "--root", str(tmp_path)) == 64
    assert_two_lines(capsys, of=command)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Serve one answer to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer  # noqa: N815 - its names

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "code"), [(401, 77), (403, 77), (307, 77), (503, 69), (429, 69), (404, 1)]
)
@pytest.mark.parametrize(
    "command", [line for line, codes in COMMANDS.items() if codes is ASKS_PLATFORM]
)
def test_an_answer_of_the_platform_has_its_code(
    host: Path, command: str, status: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not permitted, not there for now, or simply no."""
    with answering(status) as url:
        write(host, url)
        assert run(*command.split()) == code
    assert_two_lines(capsys, of=command)


def test_every_kind_of_error_has_its_documented_code() -> None:
    """A new kind has to be given one here, and in the drawing of the tree."""
    kinds = {
        name: kind.exit_code
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RenseiError) and not issubclass(kind, errors.MutationError)
    }
    assert kinds == CODES
