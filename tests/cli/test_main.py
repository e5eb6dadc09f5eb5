"""The border where an error becomes lines and an exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rensei_daemon.cli.main import main


def complaint(tmp_path: Path, *, is_journal: bool) -> str:
    """Return what `status` writes to stderr while no daemon runs."""
    stderr = tmp_path / "stderr"
    (tmp_path / "c.toml").touch()
    with stderr.open("wb") as stream:
        found = os.fstat(stream.fileno())
        leads_to = f"{found.st_dev}:{found.st_ino}" if is_journal else "0:0"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "rensei_daemon",
                "reload",
                f"--config={tmp_path}/c.toml",
            ],
            stderr=stream,
            env={
                **os.environ,
                "JOURNAL_STREAM": leads_to,
                "XDG_RUNTIME_DIR": str(tmp_path),
            },
            check=False,
        )
    return stderr.read_text()


@pytest.mark.parametrize(("is_journal", "mark"), [(True, "<3>"), (False, "")])
def test_the_journal_is_told_that_it_is_an_error(
    tmp_path: Path, is_journal: bool, mark: str
) -> None:
    """Each line of an error has systemd's mark of its level, in the journal alone."""
    what, remedy = complaint(tmp_path, is_journal=is_journal).splitlines()
    assert what.startswith(f"{mark}rensei-daemon: the daemon is not running")
    assert remedy.startswith(f"{mark}  start it: ")


def test_a_mistyped_command_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A usage error; what is like no command gets none."""
    for word, meant in (("statsu", ': did you mean "status"?'), ("zzzzzz", "")):
        with pytest.raises(SystemExit) as exited:
            main([word])
        assert exited.value.code == 64
        what = capsys.readouterr().err.splitlines()[0]
        assert what == f"rensei-daemon: no such command '{word}'{meant}"


@pytest.mark.parametrize(
    "words",
    [
        ("mutations", "list"),
        ("mutations", "ops"),
        ("credentials", "wait"),
        ("config", "history"),
    ],
)
def test_a_command_of_this_host_imports_no_http_client(words: tuple[str, ...]) -> None:
    """Workers wait with one of them at each start."""
    script = (
        "import sys\nfrom rensei_daemon.cli.root import main\n"
        f"main({[*words, '--help']!r})\n"
        "print([name for name in ('httpx', 'pydantic', 'anyio') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"


UNWRITTEN = """
import sys
from rensei_daemon import __main__
__main__.run_command = lambda: (print("buffered"), sys.exit(0))
__main__.main()
"""


def test_output_that_is_still_buffered_is_written_or_is_a_failure() -> None:
    """A command ends at once, but not before that."""
    command = [sys.executable, "-E", "-c", UNWRITTEN]  # buffered, whatever is set here
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == b"buffered\n"
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert failed.returncode == 120
    assert b"No space left on device" in failed.stderr


def test_files_have_the_names_of_the_configuration_in_every_locale(tmp_path: Path) -> None:
    """They are UTF-8, as the text that names them; arguments are the bytes they were."""
    home = tmp_path / "hôte"
    home.mkdir()
    (home / "config.toml").write_text('paths = { state = "état", runtime = "run" }\n')
    status = home / "état/status.json"
    status.parent.mkdir(mode=0o700)
    status.write_text('{"state": "ok", "version": "1"}')
    status.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "rensei_daemon", "status", f"--config={home}/config.toml"],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert f"rensei-daemon run --config '{home}/config.toml'" in done.stdout.decode()
