"""An operator asks hosts for changes from a terminal, and waits for what they say."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from deadlines import HANG_SECONDS
from platform_template import ORG
from platform_thread import PlatformThread, running_platform
from polling import wait_until

from rensei_daemon.cli import follow_mutations, operator_access, rollout
from rensei_daemon.cli.main import main
from rensei_platform.rules.mutations import Mutation

pytestmark = pytest.mark.slow

VARIABLES = ("RENSEI_RSK_TOKEN", "RENSEI_PLATFORM_URL", "RENSEI_ORG_ID")
PENDING = {
    "id": "dmut_1",
    "orgId": ORG,
    "workerHostId": "host_1",
    "op": "project.remove",
    "params": {"id": "p"},
    "status": "pending",
    "requestedBy": "ann",
    "deliveredAt": None,
    "cancelledAt": None,
    "createdAt": "2026-09-01T00:00:00Z",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose file names a platform that is not there, with a key."""
    (tmp_path / "key").write_text("rsk_live_of_the_file")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "config.toml").write_text(
        '[platform]\nurl = "http://127.0.0.1:9"\napi_key_file = "key"\norg_id = "org_x"\n'
        'worker_host_id = "host_of_the_file"\n'
        '[paths]\nstate = "state"\nruntime = "run"\n'
    )
    monkeypatch.setenv("RENSEI_DAEMON_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("RENSEI_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def platform(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlatformThread]:
    """A platform with hosts, named by the environment."""
    with running_platform() as platform:
        for name in ("build-1", "build-2", "test-1"):
            platform.add_host(name, host_id=f"host_{name}")
        values = (platform.add_key(), platform.url, ORG)
        for variable, value in zip(VARIABLES, values, strict=True):
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(follow_mutations, "POLL_SECONDS", 0.02)
        monkeypatch.setattr(rollout, "LOT_SECONDS", 0.0)
        yield platform


def run(*words: str) -> int:
    """Run a command, and return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(words)
    return exited.value.code if isinstance(exited.value.code, int) else 0


def enqueue(*words: str) -> int:
    """Ask for the removal of a project."""
    return run("mutations", "enqueue", "project.remove", "id=p", *words)


class Answering:
    """A host's part: take each mutation that is pending, and answer."""

    def __init__(self, platform: PlatformThread, *errors: str | None) -> None:
        self._platform = platform
        self._thread = Thread(target=self._run, args=(errors,))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self, errors: tuple[str | None, ...]) -> None:
        rows = self._platform.rows
        for count, error in enumerate(errors, 1):
            made = wait_until(partial(self._nth, count))
            assert made is not None
            rows.mark_delivered(made)
            rows.decide(made, error)

    def _nth(self, count: int) -> Mutation | None:
        made = self._platform.rows.mutations()
        return made[count - 1] if len(made) >= count else None


@pytest.mark.parametrize("brand", ["RENSEI", "DONMAI"])
def test_the_environment_names_platform_key_and_organisation(
    platform: PlatformThread,
    brand: str,
    monkeypatch: pytest.MonkeyPatch,
    place: Path,
) -> None:
    """In both spellings; the file is not needed."""
    for variable in VARIABLES:
        value = os.environ[variable]
        monkeypatch.delenv(variable)
        monkeypatch.setenv(variable.replace("RENSEI", brand), value)
    (place / "config.toml").unlink()
    monkeypatch.delenv("RENSEI_DAEMON_CONFIG")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("RENSEI_DAEMON_PATHS__RUNTIME", str(place))
    platform.set_credential("github", "TOKEN", "v")
    assert run("credentials", "rotate", "github") == 0
    assert enqueue("--host", "build-1") == 0


def test_no_key_of_a_file_goes_to_a_platform_of_the_environment(
    platform: PlatformThread,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The url alone is not used, and the command says so."""
    monkeypatch.delenv("RENSEI_RSK_TOKEN")
    assert enqueue("--host", "build-1") == 69
    note = capsys.readouterr().err.splitlines()[0]
    assert note.startswith("note: the platform is http://127.0.0.1:9; a url in the env")


def test_a_host_of_the_file_is_of_another_platform(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is the daemon here: the host has to be named."""
    known = {"worker_host_id": "host_build-1"}
    monkeypatch.setattr(operator_access, "ask", lambda *_: known)
    assert enqueue() == 64


def test_a_token_that_is_no_key_is_not_sent(
    platform: PlatformThread,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The text does not quote it."""
    monkeypatch.setenv("RENSEI_RSK_TOKEN", "ghp_canary")
    assert enqueue("--host", "build-1") == 78
    assert "canary" not in capsys.readouterr().err


def test_nothing_is_sent_that_no_host_could_apply(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo gets a suggestion; `--unchecked` leaves it to the platform."""
    before = platform.log.counts.copy()
    assert run("mutations", "enqueue", "project.remov", "id=p", "--host", "build-1") == 64
    assert 'did you mean "project.remove"?' in capsys.readouterr().err
    assert platform.log.counts == before
    words = ("project.remov", "id=p", "--host", "build-1", "--unchecked")
    assert run("mutations", "enqueue", *words) == 1
    assert "op must be one of" in capsys.readouterr().err


def test_ops_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With their params, types and an example."""
    assert run("mutations", "ops") == 0
    assert (
        "project.remove: Remove a project and its repositories from the host.\n"
        "  id  text: the project's id\n"
        "  rensei-daemon mutations enqueue project.remove id=proj_a\n"
    ) in capsys.readouterr().out
    assert run("mutations", "ops", "--json") == 0
    found = json.loads(capsys.readouterr().out)["ops"]
    assert found[1]["params"] == [
        {"name": "id", "type": "text", "required": True, "meaning": "the project's id"}
    ]


def test_waiting_ends_with_applied(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and JSON has the outcome."""
    with Answering(platform, None):
        assert enqueue("--host", "build-1", "--wait", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["error"]) == ("applied", None)
    assert (found["host"]["name"], found["mutation"]["status"]) == ("build-1", "applied")


def test_waiting_ends_with_the_hosts_own_words(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; what a host says is escaped."""
    with Answering(platform, "project is\nprotected\x1b[2J"):
        assert enqueue("--host", "build-1", "--wait") == 1
    what = capsys.readouterr().err.splitlines()[0]
    assert what == (
        "rensei-daemon: host build-1: project.remove failed: project is protected\\x1b[2J"
    )


def test_waiting_says_what_it_waited_for(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, whether a host has it or not."""
    assert enqueue("--host", "build-1", "--wait", "--timeout", "0") == 1
    what, hint = capsys.readouterr().err.splitlines()
    assert what.endswith("host build-1 has not fetched project.remove in time")
    assert hint.startswith("  withdraw it: rensei-daemon mutations cancel ")


def _plan_other_platform(platform: PlatformThread, **delivered: Any) -> None:
    """Have it answer as a platform that shows no outcome and lists no host."""
    path = "/api/daemon/mutations"
    faults = platform.faults
    faults.add(
        "GET", "/api/admin/hosts", status=404, body={"error": "no such page"}, times=9
    )
    faults.add("POST", path, status=201, body={"mutation": PENDING})
    listed = {"mutations": [{**PENDING, **delivered}]}
    faults.add("GET", path, status=200, body=listed, times=99)


@pytest.mark.parametrize(
    ("record", "code", "text"),
    [
        ({"deliveredAt": "2026-09-01T00:00:01Z"}, 1, "does not show what became of it"),
        ({"cancelledAt": "2026-09-01T00:00:01Z"}, 1, "project.remove was cancelled"),
        ({"status": "applied"}, 0, ""),
        ({"status": "failed"}, 1, "project.remove failed: it gave no reason"),
    ],
)
def test_a_platform_that_shows_less(
    platform: PlatformThread,
    record: dict[str, str],
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it does not show is said to be unknown; an id is taken as it is."""
    monkeypatch.setattr(follow_mutations, "ACK_SECONDS", 0.0)
    _plan_other_platform(platform, **record)
    assert enqueue("--host", "host_1", "--wait") == code
    assert text in capsys.readouterr().err


def test_hosts_have_names(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or ids; a typo gets a suggestion."""
    assert enqueue("--host", "build-1") == 0
    assert enqueue("--host", "host_build-1") == 0
    assert [row.host_id for row in platform.rows.mutations()] == ["host_build-1"] * 2
    assert enqueue("--host", "buidl-1") == 1
    assert 'did you mean "build-1"?' in capsys.readouterr().err


def test_several_hosts_stop_at_the_first_failure(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who got it and who did not is printed."""
    hosts = ("--host", "build-1", "--host", "test-1", "--host", "build-2")
    with Answering(platform, None, "protected"):
        assert enqueue(*hosts, "--wait", "--at-once", "1") == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if "pending" not in line] == [
        "build-1: applied",
        "test-1: failed: protected",
        "applied: 1 (build-1)",
        "failed: 1 (test-1)",
        "not asked: 1 (build-2)",
    ]
    assert "host test-1: project.remove failed: protected" in err


def test_all_hosts_of_a_pattern(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """In lots; no other host is asked."""
    assert enqueue("--all", "--limit-to", "build-*", "--at-once", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["host"]["name"] for one in found["hosts"]] == ["build-1", "build-2"]
    assert found["not_asked"] == []
    assert enqueue("--all", "--limit-to", "prod-*") == 64


def test_lots_have_a_pace(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pauses for three lots."""
    monkeypatch.setattr(rollout, "LOT_SECONDS", 0.2)
    started = time.monotonic()
    assert enqueue("--all", "--at-once", "1") == 0
    assert time.monotonic() - started > 0.4


def _cut(platform: PlatformThread) -> None:
    """Have the platform take the next mutation, and cut its answer short."""
    cut = {"content-length": "999"}
    path = "/api/daemon/mutations"
    platform.faults.add("POST", path, status=201, body="{", headers=cut, app_sees=True)


def test_a_lost_answer_enqueues_nothing_twice(platform: PlatformThread) -> None:
    """The request is sent again with the same key, so it is the same mutation."""
    _cut(platform)
    with Answering(platform, None):
        assert enqueue("--host", "build-1", "--wait") == 0
    assert len(platform.rows.mutations()) == 1


def test_a_platform_without_idempotency_keys_is_asked_once(
    platform: PlatformThread,
) -> None:
    """It would enqueue a second one; such a platform does not show its hosts."""
    missing = {"error": "no such page"}
    platform.faults.add("GET", "/api/admin/hosts", status=404, body=missing, times=9)
    _cut(platform)
    assert enqueue("--host", "host_build-1") == 69
    assert len(platform.rows.mutations()) == 1


@pytest.mark.parametrize(
    "words",
    [("--all", "--host", "a"), ("--limit-to", "a*"), ("--host", "a", "--limit-to", "b")],
)
def test_options_that_exclude_each_other(
    platform: PlatformThread, words: tuple[str, ...]
) -> None:
    """A usage error."""
    assert enqueue(*words) == 64


def test_what_the_platform_refuses_midway_is_its_exit_code(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hosts that were asked are named."""
    path = "/api/daemon/mutations"
    hosts = ("--host", "build-1", "--host", "build-2")
    made = {**PENDING, "workerHostId": "host_build-1"}
    platform.faults.add("POST", path, status=201, body={"mutation": made}, times=1)
    platform.faults.add("POST", path, status=403, body={"error": "no"})
    assert enqueue(*hosts) == 77
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "pending: 1 (build-1)",
        "not asked: 1 (build-2)",
    ]


def test_the_platforms_list_has_reasons(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name of a host, with the time of the last step."""
    made = platform.enqueue("build-1", "project.remove", id="p")
    platform.rows.mark_delivered(made)
    platform.rows.decide(made, "it is protected")
    assert run("mutations", "list", "--remote", "--host", "build-1") == 0
    row = capsys.readouterr().out.rstrip("\n").split("\t")
    assert [*row[:4], row[5]] == [
        *(made.id, "project.remove", "failed", "ada@acme.test", "it is protected")
    ]
    assert row[4].endswith("Z")
    assert run("mutations", "list", "--remote", "--host", "build-2") == 0
    assert "the platform has no mutation for build-2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hosts", "printed"),
    [
        (["build-1"], ["dmut_…: project.remove is pending"]),
        (
            ["build-1", "test-1", "build-2"],
            [
                "build-1: dmut_… is pending",
                "pending: 1 (build-1)",
                "not asked: 2 (test-1, build-2)",
            ],
        ),
    ],
)
def test_an_interrupt_says_who_was_asked(
    platform: PlatformThread, hosts: list[str], printed: list[str]
) -> None:
    """What is on its way stays so, and can be withdrawn; the exit code is 130."""
    named = [word for host in hosts for word in ("--host", host)]
    words = ("mutations", "enqueue", "project.remove", "id=p", "--wait", "--at-once", "1")
    command = subprocess.Popen(
        [sys.executable, "-m", "rensei_daemon", *words, *named],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with command:
        # It looks at what has become of the first one.
        wait_until(lambda: platform.log.counts["GET", "/api/daemon/mutations"])
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=HANG_SECONDS)
    assert command.returncode == 130
    assert re.sub(r"dmut_[0-9a-f]+", "dmut_…", out).splitlines() == printed
    assert err.strip() == ""
    assert [row.status for row in platform.rows.mutations()] == ["pending"]


def test_the_platforms_list_is_watched(platform: PlatformThread) -> None:
    """Until it is interrupted; what happens meanwhile is seen."""
    words = ("mutations", "list", "--remote", "--host", "build-1", "--watch")
    command = subprocess.Popen(
        [sys.executable, "-m", "rensei_daemon", *words], stdout=subprocess.PIPE, text=True
    )
    with command:
        assert command.stdout is not None
        assert command.stdout.readline() == "the platform has no mutation for build-1\n"
        made = platform.enqueue("build-1", "project.remove", id="p")
        while made.id not in command.stdout.readline():
            pass
        command.send_signal(signal.SIGINT)
        assert command.wait(HANG_SECONDS) == 130
