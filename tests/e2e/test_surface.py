"""Every command, tried on hosts whose daemon is well, ill, dead, hung, or not ours to ask.

All commands run once, for all of the tests, and each test looks at one of them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from commands_page import EXIT_CODES, walk
from deadlines import HANG_SECONDS
from forked import Forked
from platform_thread import PlatformThread, running_platform
from polling import wait_until

from rensei_platform.settings import ServerSettings

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from e2e.forking import Done, Job

NOBODY = 65534
STATES = ("healthy", "degraded", "dead", "hung", "shut", "cut")
"""`shut` is the healthy one, asked by another user; `cut` has lost its platform."""

CONFIG = """\
[platform]
url = "{url}"
api_key_file = "key"
[machine]
name = "{name}"
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[paths]
state = "state"
runtime = "run"
[projects]
proj_a = {{ repositories = ["https://github.com/acme/api"] }}
[model_access.default.matrix.anthropic]
byok = {{ allowed = true }}
"""


TABLE = """
                                                    healthy degraded dead hung shut cut
status                                                    0        1    3    2   77   1
status --json                                             0        1    3    2   77   1
logs -n 1                                                 0        0    0    0   77   0
doctor                                                    0        .    1    1    0   1
reload                                                    0        0    3    1   77   0
sync                                                      0        0    3    1   77  69
exec --session build --wait 0.5 -- true                   0        0    3    1   77   1
config path                                               0        0    0    0    0   0
config check                                              0        0    0    0    0   0
config show                                               0        0    0    0    0   0
config history                                            0        0    0    0   77   0
config diff 99                                           64       64   64   64   77  64
config rollback 99                                       64       64    3    1   77  64
config blame                                              0        0    0    0   77   0
mutations list                                            0        0    0    0   77   0
mutations show nope                                      64       64   64   64   77  64
mutations preview project.disable id=proj_a               0        0    0    0    0   0
mutations list --remote --host host_{name}                0        .    .    .   77  69
mutations enqueue project.enable id=a --host host_{name}  0        .    .    .   77  69
mutations cancel nope                                     1        .    .    .   77  69
credentials list                                          0        0    3    1   77   0
credentials wait --session build --timeout 0.5            0        0    3    1   77   1
credentials rotate github --org org_{name}                0        .    .    .   77  69
access check --batch /dev/null                            0        0    0    0    0   0
install --user --dry-run                                  0        0    0    0    .   0
uninstall --dry-run                                       0        0    0    0    .   0
"""
"""What a command exits with; a dot where nothing new could come of it.

`shut` is for another user, who may not even read the files that `install` brings along.
"""

EXPECTED: Mapping[str, tuple[int | None, ...]] = {
    line.rsplit(maxsplit=len(STATES))[0]: tuple(
        None if code == "." else int(code) for code in line.split()[-len(STATES) :]
    )
    for line in TABLE.splitlines()[2:]
}
EXEMPT = {
    "run": "is the daemon",
    "demo": "brings a daemon of its own",
}
LEAVES = {
    " ".join(context.command_path.split()[1:])
    for context in walk()
    if not isinstance(context.command, click.Group)
}
COMMANDS = [
    *EXPECTED,
    # Whatever else there is is asked for nothing in particular, and keeps its manners.
    *sorted(
        leaf
        for leaf in LEAVES - EXEMPT.keys()
        if not any(f"{command} ".startswith(f"{leaf} ") for command in EXPECTED)
    ),
]


class _Daemon:
    """One host's files, and its daemon once it has been started."""

    def __init__(self, place: Path, url: str, key: str) -> None:
        self.place = place
        self.config = place / "config.toml"
        place.mkdir(mode=0o755)
        self.name = place.name
        self.config.write_text(CONFIG.format(url=url, name=self.name))
        (place / "key").write_text(key)
        (place / "key").chmod(0o600)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "RENSEI_DAEMON_CONFIG": str(self.config),
            "COLUMNS": "80",
        }

    @contextmanager
    def up(self) -> Iterator[Callable[[], Forked]]:
        """Run the daemon until the block ends; yield what waits until it is ready."""

        def ready() -> Forked:
            while b"READY=1" not in manager.recv(4096):
                pass
            return process

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.place / "notify.sock"))
            manager.settimeout(HANG_SECONDS)
            environ = self.environ | {"NOTIFY_SOCKET": str(self.place / "notify.sock")}
            nothing = subprocess.DEVNULL
            process = Forked(
                "rensei_daemon", "run", env=environ, stdout=nothing, stderr=nothing
            )
            try:
                yield ready
            finally:
                process.kill()
                process.wait()


def _add_tenant(platform: PlatformThread, name: str) -> str:
    """Return the key of an org of its own: in one org this machine would be one host."""
    org = f"org_{name}"
    platform.add_org(org)
    platform.add_host(name, org=org, host_id=f"host_{name}")
    platform.set_credential("github", "TOKEN", "canary-one-7f3a", org=org)
    return platform.add_key(org=org, owner=f"admin@{name}.test")


def _delete_pool(platform: PlatformThread) -> None:
    params = {"poolId": "pool_a"}
    made = platform.enqueue("degraded", "pool.deleted", org="org_degraded", **params)
    wait_until(lambda: platform.rows.mutation(made.id).status == "applied")


def _become(daemon: _Daemon, state: str) -> None:
    """Wait until the daemon says that it is in a state; a watch is asked, not a clock."""
    with subprocess.Popen(
        [sys.executable, "-m", "rensei_daemon", "status", "--watch", "--json"],
        env=daemon.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        try:
            while f'"state": "{state}"' not in watch.stdout.readline():
                pass
        finally:
            watch.kill()


@contextmanager
def _hosts(place: Path) -> Iterator[Mapping[str, _Daemon]]:
    """Bring up a host for each state."""
    settings = ServerSettings(heartbeat_interval_ms=100)
    with running_platform(settings) as platform, ExitStack() as stack:
        made = {}
        for state in STATES:
            if state != "shut":
                key = _add_tenant(platform, state)
                made[state] = _Daemon(place / state, platform.url, key)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        cut = made["cut"]
        cut.config.write_text(CONFIG.format(url=nowhere, name=cut.name))
        coming = {state: stack.enter_context(daemon.up()) for state, daemon in made.items()}
        processes = {state: ready() for state, ready in coming.items()}
        _delete_pool(platform)
        _become(made["healthy"], "ok")
        _become(made["degraded"], "degraded")
        processes["dead"].kill()
        processes["dead"].wait()
        processes["hung"].send_signal(signal.SIGSTOP)
        yield {**made, "shut": made["healthy"]}


def _states(command: str) -> list[str]:
    """Return the states in which a command is tried."""
    codes = EXPECTED.get(command, tuple(range(len(STATES))))
    asked = [s for s, code in zip(STATES, codes, strict=True) if code is not None]
    return asked if os.getuid() == 0 else [s for s in asked if s != "shut"]


@pytest.fixture(scope="module")
def done() -> Iterator[Mapping[tuple[str, str], "Done"]]:
    """Run every command in every state; by (command, state), how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        with _hosts(place) as hosts:
            cases = [(command, state) for command in COMMANDS for state in _states(command)]
            jobs: list[Job] = [
                {
                    "argv": command.format(name=hosts[state].name).split(),
                    "env": hosts[state].environ,
                    "uid": NOBODY if state == "shut" else os.getuid(),
                }
                for command, state in cases
            ]
            ran = subprocess.run(
                [sys.executable, Path(__file__).with_name("forking.py")],
                input=json.dumps(jobs),
                capture_output=True,
                text=True,
                check=False,
            )
        assert ran.returncode == 0, ran.stderr
        yield dict(zip(cases, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_and_what_to_do(
    done: Mapping[tuple[str, str], "Done"], command: str
) -> None:
    """The contract's exit code, one line what, one line what to do, and soon."""
    ended = {state: done[command, state] for state in STATES if (command, state) in done}
    codes = {state: how["code"] for state, how in ended.items()}
    if command in EXPECTED:
        expected = dict(zip(STATES, EXPECTED[command], strict=True))
        assert codes == {state: expected[state] for state in _states(command)}
    assert set(codes.values()) <= EXIT_CODES.keys()
    for state, how in ended.items():
        said = how["err"].splitlines()
        assert "Traceback" not in how["err"] + how["out"], state
        assert "internal error" not in how["err"], state
        assert "\x1b" not in how["out"] + how["err"], state
        assert "canary" not in how["out"] + how["err"], state
        assert how["seconds"] < (16 if command.startswith("doctor") else 10), state
        if how["code"] and not how["out"]:
            what, remedy = said
            assert what.startswith("rensei-daemon: "), state
            assert remedy.startswith("  "), state
            assert remedy.strip(), state
