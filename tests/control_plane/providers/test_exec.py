"""The provider that runs a command."""

import json
import os
import sys
from pathlib import Path

import anyio
import pytest
from deadlines import HANG_SECONDS
from polling import until

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderUnavailableError,
    ResolveError,
)
from rensei_platform.providers.exec import Complaint, ExecProvider
from rensei_platform.providers.options import Limits

CANARY = "canary-of-the-exec-tests"
AT = Location(org_id="org_1", kind="byok", path=("team", "-rf app"), names={})


def _shell(script: str, **environment: str) -> ExecProvider:
    """Return a provider whose command is a shell that runs this."""
    options = {"command": ["/bin/sh", "-c", script], "environment": environment}
    return ExecProvider(options, Limits(most_bytes=4096))


async def _refusal(provider: ExecProvider, kind: type[ResolveError]) -> tuple[str, str]:
    with pytest.raises(kind) as refused:
        await provider.resolve(AT)
    assert type(refused.value) is kind
    assert CANARY not in f"{refused.value!r} {refused.value.detail} {refused.value.hint}"
    return refused.value.reason, refused.value.detail


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def _ended(pid: int) -> None:
    await until(lambda: not _is_running(pid))


async def test_fields() -> None:
    """The object that the command prints is its fields."""
    provider = _shell("""echo '{"TOKEN": "of the command", "PORT": 22}'""")
    assert (await provider.resolve(AT)).values == {"TOKEN": "of the command", "PORT": "22"}


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wanted stands in the environment, and nothing of ours but that."""
    monkeypatch.setenv("OF_THE_SERVER", CANARY)
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    command = [sys.executable, "-I", "-c", program]
    options = {"command": command, "environment": {"HELPER_HOME": "/srv/helper"}}
    found = await ExecProvider(options, Limits()).resolve(AT)
    known = {name: text for name, text in found.values.items() if name != "LC_CTYPE"}
    assert known == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HELPER_HOME": "/srv/helper",
        "RENSEI_ORG_ID": "org_1",
        "RENSEI_CREDENTIAL_KIND": "byok",
        "RENSEI_CREDENTIAL_PATH": "team/-rf app",
    }


async def test_no_terminal_no_stdin() -> None:
    """The command reads nothing, and leads a session without a terminal."""
    script = """read line; printf '{"line": "%s", "directory": "%s"}' "$line" "$PWD" """
    assert (await _shell(script).resolve(AT)).values == {"line": "", "directory": "/"}


async def test_umask() -> None:
    """What the command writes is for its user alone."""
    found = await _shell("""printf '{"umask": "%s"}' "$(umask)" """).resolve(AT)
    assert found.values == {"umask": "0077"}


async def test_exit_status() -> None:
    """A command that fails is unavailable; its first complaint is for the log alone."""
    provider = _shell("echo no connection >&2; echo second line >&2; exit 3")
    assert await _refusal(provider, ProviderUnavailableError) == (
        "the command exited with 3",
        "no connection",
    )
    killed = _shell("kill -9 $$")
    assert await _refusal(killed, ProviderUnavailableError) == (
        "the command was killed by signal 9",
        "",
    )


@pytest.mark.parametrize(
    "script",
    [
        f"""echo '{{"TOKEN": "{CANARY}"}}'; echo 'cannot use {CANARY}' >&2; exit 1""",
        f"""echo {CANARY}; echo 'cannot use "{CANARY}"' >&2; exit 1""",
        'echo "cannot use $HELPER_TOKEN" >&2; exit 1',
    ],
)
async def test_complaint_with_a_value(script: str) -> None:
    """A complaint that repeats what was printed, or a secret given, is left out."""
    provider = _shell(script, HELPER_TOKEN=CANARY)
    _, detail = await _refusal(provider, ProviderUnavailableError)
    assert detail == ""


async def test_late_complaint() -> None:
    """A complaint that comes as the command ends is read."""
    provider = _shell("(sleep 0.05; echo late >&2) >/dev/null & exit 1")
    _, detail = await _refusal(provider, ProviderUnavailableError)
    assert detail == "late"


async def test_complaint_is_kept_in_part() -> None:
    """Of a complaint without end the start is kept, and the rest is read."""
    async with await anyio.open_process(
        ["/usr/bin/head", "-c", "9999999", "/dev/zero"]
    ) as head:
        assert head.stdout is not None
        complaint = Complaint()
        await complaint.read(head.stdout)
    assert len(complaint.kept) == 4096
    assert complaint.ended.is_set()


async def test_complaint_is_bounded() -> None:
    """A complaint is cut, and written without control characters."""
    provider = _shell(
        "printf '\\033[2J'; head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1"
    )
    _, detail = await _refusal(provider, ProviderUnavailableError)
    assert detail == "x" * 200
    _, detail = await _refusal(
        _shell("printf '\\033[2J' >&2; exit 1"), ProviderUnavailableError
    )
    assert detail == "\\x1b[2J"


async def test_endless_output() -> None:
    """An answer without end is cut off, and its command killed."""
    provider = _shell("exec yes")
    refusal, _ = await _refusal(provider, BadAnswerError)
    assert refusal == "the answer is larger than 4096 bytes"


async def test_not_json() -> None:
    """An answer that is not JSON is refused, and not quoted."""
    assert await _refusal(_shell(f"echo {CANARY}"), BadAnswerError) == (
        "the answer is not JSON",
        "",
    )


async def test_deadline_kills_the_group(tmp_path: Path) -> None:
    """A command that is given up is killed with everything that it has started."""
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    script = f"trap '' TERM; sleep 600 & echo $$ $! > {pids}; wait"
    async with anyio.create_task_group() as running:
        running.start_soon(_shell(script).resolve, AT)
        async with await anyio.open_file(pids) as file:
            parent, child = map(int, (await file.read()).split())
        running.cancel_scope.cancel()
    await _ended(parent)
    await _ended(child)


async def test_left_behind(tmp_path: Path) -> None:
    """What a command leaves in its group ends with it, also after a good answer."""
    pid = tmp_path / "pid"
    script = f"""sleep 600 >/dev/null 2>&1 & echo $! > {pid}; echo '{{"A": "b"}}'"""
    assert (await _shell(script).resolve(AT)).values == {"A": "b"}
    await _ended(int(pid.read_text()))


async def test_holds_the_pipe(tmp_path: Path) -> None:
    """A process that holds stderr open after the answer does not hold the answer."""
    script = """sleep 600 >/dev/null & echo '{"A": "b"}'"""
    with anyio.fail_after(HANG_SECONDS):
        assert (await _shell(script).resolve(AT)).values == {"A": "b"}


async def test_cannot_be_started(tmp_path: Path) -> None:
    """A program that went away, or is none, is unavailable."""
    program = tmp_path / "program"
    program.write_text("no program")
    program.chmod(0o755)
    provider = ExecProvider({"command": [str(program)]}, Limits())
    refusal, _ = await _refusal(provider, ProviderUnavailableError)
    assert refusal == "the command cannot be started: Exec format error"
    program.unlink()
    refusal, _ = await _refusal(provider, ProviderUnavailableError)
    assert refusal == "the command cannot be started: No such file or directory"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sh"], "command: sh: not the absolute path of a program"),
        (["/etc/passwd"], "command: /etc/passwd: not the absolute path of a program"),
        (["/usr"], "command: /usr: not the absolute path of a program"),
        ([], "command: List should have at least 1 item after validation, not 0"),
        ("/bin/sh -c id", "command: Input should be a valid list"),
    ],
)
def test_options(command: object, message: str) -> None:
    """A command is an absolute path and its arguments; there is no shell."""
    with pytest.raises(SettingsError) as refused:
        ExecProvider({"command": command, "environment": {"X": CANARY}}, Limits())
    assert str(refused.value) == message
    assert json.dumps(str(refused.value)).isascii()
