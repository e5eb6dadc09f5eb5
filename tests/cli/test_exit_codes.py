"""Every command in every kind of trouble: two lines on stderr, and the documented code."""

import http.server
import inspect
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rensei_daemon import errors
from rensei_daemon.cli import control, main
from rensei_daemon.errors import RenseiError

ASKING = (
    "status",
    "reload",
    "sync",
    "metrics",
    "logs --set-level info",
    "credentials list",
    "credentials wait --timeout 0.1",
    "config rollback 1",
)
"""Commands that need a daemon that answers."""

REMOTE = (
    "mutations list --remote --host h",
    "mutations enqueue project.add id=p repository=https://a.test/r --host h",
    "mutations cancel m",
    "credentials rotate github --org o",
)
"""Commands that ask the platform."""

READING = ("config check", "config show", "mutations preview project.add id=p", *REMOTE)
"""Commands that need a configuration that can be used."""

CODES = {
    "RenseiError": 1,
    "UsageError": 64,
    "SettingsError": 78,
    "StateInUseError": 75,
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
    return tmp_path


def write(host: Path, url: str, more: str = "") -> None:
    """Save a configuration."""
    paths = '[paths]\nstate = "."\nruntime = "."\n'
    (host / "config.toml").write_text(f'[platform]\nurl = "{url}"\n{paths}{more}')


def assert_two_lines(capsys: pytest.CaptureFixture[str], *, of: str) -> None:
    """One line what, one line what to do, and nothing for scripts to misread."""
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (of, out, len(lines)) == (of, "", 2), err
    assert lines[0].startswith("rensei-daemon: ")
    assert lines[1].startswith("  ")
    assert len(lines[1].strip()) > 3
    assert "canary" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ASKING)
def test_without_a_daemon_it_is_3(
    host: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy starts this very daemon."""
    assert run(*command.split()) == 3
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize("command", [c for c in ASKING if "wait" not in c])
def test_a_silent_daemon_is_2_for_status_and_1_for_others(
    host: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process listens and says nothing; `wait` asks at another socket."""
    monkeypatch.setattr(control, "PULSE_SECONDS", 0.1)
    monkeypatch.setattr(control.ask, "__kwdefaults__", {"timeout_seconds": 0.1})
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(host / "control.sock"))
        hung.listen()
        assert run(*command.split()) == (2 if command == "status" else 1)
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize("command", READING)
def test_a_configuration_that_cannot_be_used_is_78(
    host: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With file, line and column; `config check` says one line a problem."""
    write(host, "http://127.0.0.1:9", "[log]\nlevel = 7\n")
    assert run(*command.split()) == 78
    if command != "config check":
        assert_two_lines(capsys, of=command)
    else:
        assert f"{host}/config.toml:7:1: log.level" in capsys.readouterr().err


@pytest.mark.parametrize("command", [*ASKING, *READING])
def test_a_config_that_is_not_there_is_78(
    host: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """When `--config` names it, for every command alike."""
    assert run(*command.split(), "--config", str(host / "none.toml")) == 78
    assert_two_lines(capsys, of=command)


@pytest.mark.parametrize("command", REMOTE)
def test_a_platform_out_of_reach_is_69(
    host: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names host and cause."""
    assert run(*command.split()) == 69
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
@pytest.mark.parametrize("command", REMOTE)
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
