"""A rotation on its way from the platform to every consumer of a whole daemon."""

import base64
import json
import os
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from forked import Forked, ended, run_async
from platform_thread import PlatformThread, running_platform

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import RELOAD, SESSIONS, STATUS, SYNC
from rensei_daemon.disk.last_status import read_last_status
from rensei_daemon.tasks.former_readers import former_readers

PROGRAM = str(Path(sys.executable).with_name("rensei-daemon"))
ENVIRON = {"PATH": os.environ["PATH"]}
CONFIG = """\
[platform]
url = "{url}"
api_key_file = "key"
[paths]
state = "state"
runtime = "run"
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
on_rotate = ["{hook}"]
"""
# Reads the file of its generation, says so on a pipe, and blurts the secret out.
HOOK = """\
#!/bin/sh
. "$RENSEI_ENV_FILE"
echo "$RENSEI_GENERATION $TOKEN $RENSEI_CHANGED_NAMES" > {told}
echo "leaked: $TOKEN"
"""


class Scene:
    """A platform, a daemon with one session, and a pipe its hook tells of rotations."""

    def __init__(self, place: Path, platform: PlatformThread) -> None:
        self.place = place
        self.platform = platform
        self.key = platform.add_key()
        self.told = place / "told"
        os.mkfifo(self.told)
        self._told = os.open(self.told, os.O_RDWR | os.O_NONBLOCK)
        self._inbox = b""
        self.config = place / "config.toml"
        hook = place / "hook"
        hook.write_text(HOOK.format(told=self.told))
        hook.chmod(0o755)
        self.config.write_text(CONFIG.format(url=platform.url, hook=hook))
        key_file = place / "key"
        key_file.write_text(self.key)
        key_file.chmod(0o600)
        self.readers: list[Reader] = []
        self.value = ""
        self.set("tok_canary_0")

    def set(self, value: str) -> None:
        """Give the credential a value, and tell nobody."""
        self.value = value
        self.platform.set_credential("github", "TOKEN", value)

    def rotate(self, value: str) -> None:
        """Rotate the credential to this value."""
        self.value = value
        self.platform.rotate("github", TOKEN=value)

    async def hook_says(self) -> list[str]:
        """Wait for the next run of the hook: generation, value, changed names."""
        with anyio.fail_after(HANG_SECONDS):
            while b"\n" not in self._inbox:
                await anyio.wait_readable(self._told)
                self._inbox += os.read(self._told, 4096)
        line, _, self._inbox = self._inbox.partition(b"\n")
        return line.decode().split()

    @asynccontextmanager
    async def daemon(self, *through: str) -> AsyncIterator[None]:
        """Run the daemon while the block runs; its end is a clean one.

        `through` is a program that starts it, with other limits perhaps; a fork has none,
        and no command line of its own either.
        """
        with self._started(through) as process:
            try:
                yield
                process.terminate()
                with anyio.fail_after(HANG_SECONDS):
                    assert await ended(process) == 0
            finally:
                process.kill()

    def _started(self, through: tuple[str, ...]) -> "subprocess.Popen[str]":
        words = ("run", "--config", str(self.config))
        with (self.place / "output").open("ab") as output:
            if not through:
                return Forked(
                    "rensei_daemon", *words, env=ENVIRON, stdout=output, stderr=output
                )
            return subprocess.Popen(
                [*through, PROGRAM, *words],
                env=ENVIRON,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )

    async def tell(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours."""
        words = (*argv, "--config", str(self.config))
        return await run_async("rensei_daemon", *words, env=ENVIRON)

    async def until_condition(self, code: str) -> None:
        """Wait until there is a warning of this code; of none, when it is empty."""
        with anyio.fail_after(HANG_SECONDS):
            while True:
                found = (await self.order(*STATUS))["conditions"]
                warnings = [c["code"] for c in found if c["severity"] == "warning"]
                if code in warnings or not (code or warnings):
                    return

    async def order(self, method: str, path: str) -> Any:
        """Ask the daemon over its control socket, without a process for it."""
        control = self.place / "run" / "control.sock"
        return await anyio.to_thread.run_sync(
            lambda: request(control, method, path, timeout_seconds=HANG_SECONDS)
        )

    async def ask(self, *argv: str) -> Any:
        """Run a command of ours that answers in JSON."""
        return json.loads((await self.tell(*argv)).stdout)

    async def hook_has_ended(self, generation: int) -> None:
        """Wait until the hook of a generation has run to its end."""
        hook = self.place / "hook"
        done = {"kind": "hook", "name": str(hook), "generation": generation, "lag": 0}
        with anyio.fail_after(HANG_SECONDS):
            while True:
                (session,) = (await self.order(*SESSIONS))["sessions"]
                if done in session["consumers"]:
                    return

    async def status_shows_a_reader(self) -> None:
        """Wait until a reader is on the board, a moment after it has its values."""
        with anyio.fail_after(HANG_SECONDS):
            while True:
                (session,) = (await self.order(*STATUS))["sessions"]
                if any(c["kind"] == "socket" for c in session["consumers"]):
                    return

    def everything_written(self) -> bytes:
        """All that the daemon has logged and kept."""
        files = [self.place / "output", *(self.place / "state").rglob("*")]
        return b"".join(file.read_bytes() for file in files if file.is_file())

    async def everything_shown(self) -> list[str]:
        """All that an operator sees, or sends to whoever helps."""
        bundle = self.place / "bundle.tar.gz"
        doctor = await self.tell("doctor", "--json", "--bundle", str(bundle))
        assert "no known secret found in it" in doctor.stderr
        status = await self.tell("status")
        with tarfile.open(bundle) as archive:
            files = [archive.extractfile(member) for member in archive.getmembers()]
            packed = [file.read().decode() for file in files if file is not None]
        return [doctor.stdout, status.stdout, *packed]

    def close(self) -> None:
        """Give the pipe back, and close every connection."""
        os.close(self._told)
        for reader in self.readers:
            reader.socket.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene without its daemon."""
    with running_platform() as platform:
        scene = Scene(tmp_path, platform)
        yield scene
        scene.close()


class Reader:
    """A worker that knows of the protocol what is published, and no code of ours."""

    def __init__(self, scene: Scene) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        scene.readers.append(self)
        self.socket.connect(str(scene.place / "run" / "credentials.sock"))
        self.socket.sendall(b'{"type":"HELLO","sessionId":"build"}\n')
        self.socket.setblocking(False)
        self._inbox = b""
        self.env: dict[str, str] = {}

    async def hear(self) -> str:
        """Take the next frame in, and return its type."""
        with anyio.fail_after(HANG_SECONDS):
            while b"\n" not in self._inbox:
                await anyio.wait_readable(self.socket)
                data = self.socket.recv(65536)
                assert data, "the daemon closed the connection"
                self._inbox += data
        line, _, self._inbox = self._inbox.partition(b"\n")
        frame = json.loads(line)
        if frame["type"] == "INITIAL":
            self.env = frame["env"]
        elif frame["type"] == "UPDATE":
            self.env |= frame["delta"]
        kind: str = frame["type"]
        return kind


def _command_lines() -> bytes:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


async def test_a_rotation_reaches_every_consumer_and_no_log(scene: Scene) -> None:
    """Socket, env file, then hook; each is on the board, and no value is anywhere else."""
    async with scene.daemon("env"):
        assert await scene.hook_says() == ["1", "tok_canary_0", "TOKEN"]
        reader = Reader(scene)
        assert await reader.hear() == "INITIAL"
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        scene.rotate("tok_canary_1")
        assert await reader.hear() == "UPDATE"
        assert reader.env == {"TOKEN": "tok_canary_1"}
        assert await scene.hook_says() == ["2", "tok_canary_1", "TOKEN"]
        assert (scene.place / "run" / "build.env").read_text() == 'TOKEN="tok_canary_1"\n'
        assert b"tok_canary" not in _command_lines()

        scene.rotate("tok_canary_2")
        assert await reader.hear() == "UPDATE"
        assert await scene.hook_says() == ["3", "tok_canary_2", "TOKEN"]
        listed = await scene.ask("credentials", "list", "--json")
        (session,) = listed["sessions"]
        kinds = {c["kind"]: c["generation"] for c in session["consumers"]}
        assert kinds["socket"] == kinds["env_file"] == 3
        assert kinds["hook"] in (2, 3)  # it may still be about to end
        shown = json.dumps([listed, await scene.everything_shown()])
    written = scene.everything_written().decode(errors="replace")
    assert "leaked: [redacted]" in written
    for canary in ("tok_canary", scene.key, (scene.place / "key").read_text()):
        assert canary not in written
        assert canary not in shown
    reader.socket.close()


@pytest.mark.slow
async def test_two_hundred_rotations_a_second_end_on_the_newest(scene: Scene) -> None:
    """Whatever was overtaken, every consumer has the last value in the end."""
    async with scene.daemon():
        await scene.hook_says()
        reader = Reader(scene)
        await reader.hear()
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        start = anyio.current_time()
        for number in range(399):
            scene.platform.send_update(TOKEN=f"tok_canary_burst_{number}")
            await anyio.sleep_until(start + number / 200)
        scene.rotate("tok_canary_newest")
        while reader.env["TOKEN"] != scene.value:
            await reader.hear()
        while (await scene.hook_says())[1] != scene.value:
            pass
        text = (scene.place / "run" / "build.env").read_text()
        assert text == f'TOKEN="{scene.value}"\n'
    assert b"tok_canary" not in scene.everything_written()
    reader.socket.close()


@pytest.mark.slow
async def test_a_daemon_started_again_runs_no_hook_for_nothing(scene: Scene) -> None:
    """What the file says already is no rotation; what changed meanwhile is."""
    async with scene.daemon():
        await scene.hook_says()
        await scene.hook_has_ended(1)
    async with scene.daemon():
        reader = await _reader_when_it_listens(scene)
        await reader.hear()
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        scene.rotate("tok_canary_1")
        assert await scene.hook_says() == ["2", "tok_canary_1", "TOKEN"]
        await scene.hook_has_ended(2)
        reader.socket.close()
    scene.set("tok_canary_2")
    async with scene.daemon():
        assert await scene.hook_says() == ["1", "tok_canary_2", "TOKEN"]


@pytest.mark.slow
async def test_a_hook_cut_short_is_run_by_the_next_daemon(scene: Scene) -> None:
    """A rotation whose hook a restart ended is no secret to anybody for ever."""
    script = scene.place / "hook"
    text = script.read_text()
    async with scene.daemon():
        await scene.hook_says()
        reader = Reader(scene)
        await reader.hear()
        reader.socket.close()
        await scene.hook_has_ended(1)  # a shell reads its script as it goes
        script.write_text(f"{text}exec sleep 60\n")
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        scene.rotate("tok_canary_1")
        assert await scene.hook_says() == ["2", "tok_canary_1", "TOKEN"]
    script.write_text(text)
    async with scene.daemon():
        assert await scene.hook_says() == ["1", "tok_canary_1", "TOKEN"]


@pytest.mark.slow
async def test_a_hook_may_reload_the_daemon_that_runs_it(scene: Scene) -> None:
    """It waits for the daemon and the daemon for it; neither hangs, and it ends well."""
    script = scene.place / "hook"
    reload = f"exec {PROGRAM} reload --config {scene.config}\n"
    script.write_text(script.read_text() + reload)
    async with scene.daemon():
        assert await scene.hook_says() == ["1", "tok_canary_0", "TOKEN"]
        await scene.hook_has_ended(1)
        await scene.until_condition("")


@pytest.mark.slow
async def test_a_refusal_that_quotes_secrets_is_told_without_them(scene: Scene) -> None:
    """Value, key and token, in any spelling, stay out of log, status and conditions."""
    scene.set("tok_canary_that_is_long_enough_to_cut")
    async with scene.daemon():
        await scene.hook_says()
        token = (scene.place / "run" / "token").read_text()
        secrets = (scene.value, scene.key, token)
        quoted = [spelt for secret in secrets for spelt in _spellings(secret)]
        scene.platform.faults.add(
            "POST",
            "/api/daemon/credentials/snapshot",
            status=403,
            body={"error": f"you sent {' '.join(quoted)}"},
            times=1000,
        )
        await scene.tell("sync")
        await scene.until_condition("forbidden")
        status = json.dumps(await scene.ask("status", "--json"))
        assert "you sent [redacted] [redacted]" in status
    for sink in (status, scene.everything_written().decode(errors="replace")):
        assert [spelt for spelt in quoted if spelt[9:-4] in sink] == []


def _spellings(secret: str) -> tuple[str, ...]:
    raw = secret.encode()
    password = base64.b64encode(b"user:" + raw).decode()
    return (secret, base64.b64encode(raw).decode(), password, quote(secret, safe=""))


@pytest.mark.slow
async def test_other_settings_cost_no_reader_its_session(scene: Scene) -> None:
    """A changed session starts anew: its readers stay, and its file is never gone."""
    async with scene.daemon():
        await scene.hook_says()
        reader = Reader(scene)
        await reader.hear()
        text = scene.config.read_text()
        scene.config.write_text(f'{text}group = "no-such-group"\n')
        done = await scene.tell("reload")
        assert done.returncode == 78
        await scene.until_condition("config.invalid")
        scene.config.write_text(f'{text}env_file_mode = "0400"\n')
        await scene.tell("reload")
        await scene.until_condition("")
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        scene.rotate("tok_canary_1")
        assert await reader.hear() == "UPDATE"
        assert reader.env == {"TOKEN": "tok_canary_1"}
        while (await scene.hook_says())[1] != "tok_canary_1":
            pass
        file = scene.place / "run" / "build.env"
        assert stat.filemode(file.stat().st_mode) == "-r--------"

        scene.config.write_text(text.split("[[credentials")[0])
        await scene.tell("reload")
        assert await reader.hear() == "BYE"
        assert await scene.ask("credentials", "list", "--json") == {"sessions": []}
        assert not file.exists()
        reader.socket.close()


@pytest.mark.slow
async def test_a_stopped_daemon_leaves_on_record_who_was_connected(scene: Scene) -> None:
    """So that the next one can say who has not come back."""
    async with scene.daemon():
        reader = await _reader_when_it_listens(scene)
        await reader.hear()
        await scene.status_shows_a_reader()
    reader.socket.close()
    last = read_last_status(scene.place / "state" / "status.json")
    former = former_readers(last, now=datetime.now(UTC))
    assert {id_: list(readers) for id_, readers in former.items()} == {
        "build": [os.getpid()]
    }


@pytest.mark.slow
async def test_readers_that_are_turned_away_are_on_the_board(scene: Scene) -> None:
    """As long as one user holds more than half of its share."""
    async with scene.daemon("sh", "-c", 'ulimit -n 200; exec "$0" "$@"'):
        await scene.hook_says()
        readers = [await _reader_when_it_listens(scene)]
        readers += [Reader(scene) for _ in range(36)]
        await scene.until_condition("readers.turned_away")
        for reader in readers:
            reader.socket.close()
        await scene.until_condition("")


@pytest.mark.slow
async def test_no_daemon_starts_with_two_sessions_on_one_file(scene: Scene) -> None:
    """However it is spelled, in the runtime directory there really is."""
    file = scene.place / "run" / "build.env"
    session = f'[[credentials.sessions]]\nid = "test"\nenv_file = "{file}"\n'
    scene.config.write_text(scene.config.read_text() + session)
    for argv in (("run",), ("config", "check")):
        done = await scene.tell(*argv)
        assert done.returncode == 78
        assert 'session "build" has the same file, on line 11' in done.stderr


@pytest.mark.slow
async def test_an_env_file_that_somebody_altered_is_put_right(scene: Scene) -> None:
    """At once when anybody asks for status, sync or reload; status says it was not."""
    file = scene.place / "run" / "build.env"

    async with scene.daemon():
        await scene.hook_says()
        await scene.hook_has_ended(1)
        file.unlink()
        (found,) = (
            condition
            for condition in (await scene.ask("status", "--json"))["conditions"]
            if condition["code"] == "delivery.failed"
        )
        assert found["message"].endswith("build.env was removed; it is being put right")
        await scene.until_condition("")
        assert file.read_text() == 'TOKEN="tok_canary_0"\n'
        file.chmod(0o644)
        await scene.order(*SYNC)
        assert stat.filemode(file.stat().st_mode) == "-r--r-----"
        file.chmod(0o640)  # or its owner could not write it
        file.write_text("TOKEN=stale\n")
        await scene.order(*RELOAD)
        assert file.read_text() == 'TOKEN="tok_canary_0"\n'
        await scene.platform.until(lambda: len(scene.platform.streams) == 1)
        scene.rotate("tok_canary_1")
        assert await scene.hook_says() == ["2", "tok_canary_1", "TOKEN"]


async def _reader_when_it_listens(scene: Scene) -> Reader:
    """Connect once the daemon is there; `credentials wait` is what a unit would use."""
    await anyio.run_process([PROGRAM, "credentials", "wait", "--config", str(scene.config)])
    return Reader(scene)
