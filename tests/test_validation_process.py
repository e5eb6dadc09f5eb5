"""The configuration validated in another process: real ones, which die and hang, too."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS
from polling import wait_until

from rensei_daemon.core.document import Document
from rensei_daemon.errors import SettingsError, UncheckedError
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings
from rensei_daemon.validation_process import ValidationProcess

CANARY = "rsk_live_CANARY"
WHOLE = """
[platform]
url = "https://a.test"
ca_file = "ca.pem"
[[credentials.sessions]]
id = "a"
env_file = "a.env"
on_rotate = ["/bin/true"]
files = [{ path = "b.json", format = "json", rename = { A = "B" } }]
[projects]
p = { repositories = ["https://x/é"] }
[pool]
status = "deleted"
since = 2026-11-23T16:00:00+01:00
[model_access.default.matrix.anthropic]
byok = { allowed = true, enforce = { limit = 3 } }
"""
BROKEN = """
[log]
level = "loud"
[machine]
regin = "eu"
[[credentials.sessions]]
id = "a"
env_file = "f"
[[credentials.sessions]]
id = "a"
env_file = "f"
"""
TEXTS = {
    "whole": WHOLE,
    "nothing": "# nothing\n",
    "problems": BROKEN,
    "no TOML": "[log\nlevel = 3\n",
    "no such group": WHOLE + "[control]\ngroup = 'no-such-group'\n",
    "no platform": "[log]\nlevel = 'info'\n",
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Where the settings of a daemon come from; its environment has its key."""
    return Sources(
        path=tmp_path / "config.toml",
        runtime=tmp_path / "run",
        environ={
            "RENSEI_API_KEY": CANARY,
            "RENSEI_DAEMON_LOG__FORMAT": "json",
            "RENSEI_DAEMON_MACHINE__NAME": "from a variable",
        },
        overrides={"machine": {"max_sessions": 7}},
    )


def outcome(work: Callable[[], Settings]) -> object:
    """Return the settings, or everything that an error says."""
    try:
        return work()
    except SettingsError as error:
        return type(error), str(error), error.hint, error.problems, error.exit_code


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_the_answer_is_that_of_this_process(sources: Sources, name: str) -> None:
    """Settings, or problems with their lines, hints and exit code."""
    document = Document(TEXTS[name])
    here, there = LocalValidator(sources), ValidationProcess(sources)
    expected = outcome(lambda: here.load(document, on_host=True))
    assert outcome(lambda: there.load(document, on_host=True)) == expected
    assert isinstance(expected, Settings) is (name == "whole")


def test_without_the_host_groups_and_platform_may_be_missing(sources: Sources) -> None:
    """As where only the platform's URL is looked for."""
    settings = ValidationProcess(sources).load(Document(TEXTS["no such group"]))
    assert settings.control.group == "no-such-group"
    assert settings.machine.name == "from a variable"
    assert settings.machine.max_sessions == 7


@pytest.mark.parametrize("text", [WHOLE, BROKEN])
def test_an_edited_text_is_accepted_as_here(sources: Sources, text: str) -> None:
    """Its problems name keys, not lines that nobody has ever seen."""
    expected = outcome(lambda: LocalValidator(sources).accept(Document(text)))
    assert outcome(lambda: ValidationProcess(sources).accept(Document(text))) == expected


def test_the_process_has_no_secret(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its environment, nor its arguments, nor what it is asked."""
    monkeypatch.setenv("RENSEI_API_KEY", CANARY)
    seen = tmp_path / "seen"
    script = 'cat /proc/$$/environ /proc/$$/cmdline - > "$0"; exit 3'
    process = ValidationProcess(sources, program=("/bin/sh", "-c", script, str(seen)))
    with pytest.raises(UncheckedError, match="exit code 3"):
        process.load(Document(WHOLE))
    assert "from a variable" in seen.read_text()
    assert CANARY not in seen.read_text()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("kill -KILL $$", "its process ended with SIGKILL"),
        ("exit 7", "its process ended with exit code 7"),
        ("cat", "its process gave no usable answer"),
        ('echo \'{"settings": {"log": 3}}\'', "its process gave no usable answer"),
        ("echo no JSON", "its process gave no usable answer"),
    ],
)
def test_a_process_that_fails_is_no_verdict(
    sources: Sources, script: str, why: str
) -> None:
    """The error says so; its exit code lets the service manager try again."""
    process = ValidationProcess(sources, program=("/bin/sh", "-c", script))
    for validate in (process.load, process.accept):
        with pytest.raises(UncheckedError) as caught:
            validate(Document(WHOLE))
        assert str(caught.value) == f"the configuration could not be checked: {why}"
        assert caught.value.hint == UncheckedError.default_hint
        assert caught.value.exit_code == 1


def test_a_process_that_cannot_be_started(sources: Sources) -> None:
    """As when too many run."""
    process = ValidationProcess(sources, program=("/no/such/program",))
    with pytest.raises(UncheckedError, match="no process can be started: No such file"):
        process.load(Document(WHOLE))


def test_a_process_that_hangs_is_ended(sources: Sources, tmp_path: Path) -> None:
    """Within its time, and nothing of it is left."""
    pid = tmp_path / "pid"
    script = 'echo $$ > "$0"; exec sleep 1000'
    words = ("/bin/sh", "-c", script, str(pid))
    process = ValidationProcess(sources, program=words, seconds=1)
    with pytest.raises(UncheckedError, match="did not answer within 1 s"):
        process.load(Document(WHOLE))
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


DIE = """
import os, signal, sys
from rensei_daemon.process import die_with
child = os.fork()
if not child:
    die_with(os.getppid(), within_seconds=1000)
    print(os.getpid(), flush=True)
signal.pause()
"""


def test_it_dies_with_its_daemon() -> None:
    """Also with one that is killed, and even if it is stopped itself."""
    with subprocess.Popen([sys.executable, "-c", DIE], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        os.kill(child, signal.SIGSTOP)
        daemon.kill()
    wait_until(lambda: not _is_alive(child))


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("os.getppid(), within_seconds=0.05", -signal.SIGALRM), ("1, within_seconds=9", 1)],
)
def test_it_lives_no_longer_than_it_may(arguments: str, code: int) -> None:
    """Its time ends it; it ends at once if its daemon died before it could say so."""
    script = (
        "import os, signal; from rensei_daemon.process import die_with\n"
        f"die_with({arguments}); signal.pause()"
    )
    words = [sys.executable, "-c", script]
    assert subprocess.run(words, check=False, timeout=HANG_SECONDS).returncode == code
