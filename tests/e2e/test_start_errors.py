"""Whatever keeps the daemon from starting has its words, its remedy and its exit code.

systemd restarts it for ever, or never again, by that code.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest
from deadlines import HANG_SECONDS

if TYPE_CHECKING:
    from e2e.forking import Done, Job

GOOD = """\
[platform]
url = "http://127.0.0.1:9"
api_key_file = "key"
[paths]
state = "state"
runtime = "run"
"""
CHECK = "check it with: rensei-daemon config check {place}/config.toml"
Prepare = Callable[[Path], object]


class Case(NamedTuple):
    """What is wrong, and what is said: `{place}` is the host's directory."""

    code: int
    what: str
    remedy: str
    text: str = GOOD
    prepare: Prepare = Path.exists
    words: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}


def holding(place: Path) -> IO[str]:
    """Hold the state directory as another daemon does."""
    (place / "state").mkdir(mode=0o700)
    lock = (place / "state/lock").open("w")
    lock.write("4242\n")
    lock.flush()
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def instead(name: str, make: Callable[[Path], object] = Path.mkdir) -> Prepare:
    """Put something else where a file or directory should be; by default a directory."""

    def prepare(place: Path) -> None:
        path = place / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        make(path)

    return prepare


CASES = {
    "a second daemon": Case(
        75,
        "another rensei-daemon (pid {holder}) holds {place}/state",
        "stop it first, or give this one its own [paths]",
        prepare=holding,
    ),
    "a broken configuration": Case(
        78,
        "{place}/config.toml:1:5: this is no value: a text needs quotes",
        CHECK,
        text="x = = 1\n",
    ),
    "an unknown key": Case(
        78,
        '{place}/config.toml:8:1: unknown key "regin" in [machine]'
        ' (did you mean "region"?)',
        CHECK,
        text=GOOD + '[machine]\nregin = "x"\n',
    ),
    "an unknown variable": Case(
        78,
        "RENSEI_DAEMON_LOG__LEVLE: unknown variable"
        ' (did you mean "RENSEI_DAEMON_LOG__LEVEL"?)',
        CHECK,
        environ={"RENSEI_DAEMON_LOG__LEVLE": "debug"},
    ),
    "no configuration": Case(
        78,
        "{place}/config.toml: there is no such file",
        "write one: rensei-daemon install, or copy config.example.toml there",
        prepare=lambda place: (place / "config.toml").unlink(),
    ),
    "a directory for a configuration": Case(
        78,
        "{place}/config.toml: not a regular file",
        "look at it: ls -ld {place}/config.toml",
        prepare=instead("config.toml"),
    ),
    "no key": Case(
        78,
        "{place}/key: no such file",
        "put the key in /etc/credstore/rensei-daemon.api-key (mode 0600), or name a file in"
        " platform.api_key_file, or set RENSEI_API_KEY",
        prepare=lambda place: (place / "key").unlink(),
    ),
    "a key of something else": Case(
        78,
        "{place}/key: this is no API key of the platform",
        "a key starts with rsk_live_ (older ones: rsp_live_), in one line",
        prepare=lambda place: (place / "key").write_text("canary"),
    ),
    "a key that others can read": Case(
        78,
        "{place}/key: others can read the API key (mode 0644)",
        "chmod 0600 {place}/key; if others could read it, replace the key too",
        prepare=lambda place: (place / "key").chmod(0o644),
    ),
    "an unknown group": Case(
        78,
        "{place}/config.toml:8:1: control.group: there is no group no-such-group"
        " on this host",
        "make it: groupadd --system no-such-group",
        text=GOOD + '[control]\ngroup = "no-such-group"\n',
    ),
    "no certificates": Case(
        78,
        "platform.ca_file: {place}/ca.pem: No such file or directory",
        "look at it: ls -ld {place}/ca.pem",
        text=GOOD.replace("http:", "https:").replace(
            "[paths]", 'ca_file = "ca.pem"\n[paths]'
        ),
    ),
    "a runtime directory that cannot be made": Case(
        1,
        "/proc/none: No such file or directory",
        "look at it: ls -ld /proc /proc/none",
        text=GOOD.replace('"run"', '"/proc/none"'),
    ),
    "something in the socket's place": Case(
        1,
        "{place}/run/control.sock is in the way: it is not a socket",
        "look at it, and move it away: ls -ld {place}/run/control.sock",
        prepare=instead("run/control.sock"),
    ),
    "a runtime directory with a long name": Case(
        78,
        "{place}/" + "r" * 120 + "/control.sock is too long for a socket (107 bytes)",
        "set [paths].runtime to a shorter directory",
        text=GOOD.replace('"run"', f'"{"r" * 120}"'),
    ),
    "an unknown option": Case(
        64,
        "unrecognized arguments: --loud",
        "see: rensei-daemon run --config {place}/config.toml --help",
        words=("--loud",),
    ),
}


class Host:
    """A directory in which a daemon cannot start."""

    def __init__(self, place: Path, case: Case) -> None:
        place.mkdir()
        self._place = place
        (place / "config.toml").write_text(case.text)
        (place / "key").write_text("rsk_live_canary_0123456789abcdef")
        (place / "key").chmod(0o600)
        self.held = case.prepare(place)
        self.words = ["run", "--config", str(place / "config.toml"), *case.words]
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(place), **case.environ}

    def expected(self, case: Case) -> str:
        """Return what the program is to say."""
        said = f"rensei-daemon: {case.what}\n  {case.remedy}\n"
        # The locks are this process's, not of the one that has collected the tests.
        said = said.replace("{holder}", str(os.getpid()))
        return said.replace("{place}", str(self._place))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Host]]:
    """Every host."""
    place = tmp_path_factory.mktemp("hosts")
    with ExitStack() as stack:
        made = {
            name: Host(place / str(number), case)
            for number, (name, case) in enumerate(CASES.items())
        }
        for host in made.values():
            if hasattr(host.held, "close"):
                stack.callback(host.held.close)
        yield made


@pytest.fixture(scope="module")
def ended(hosts: Mapping[str, Host]) -> Mapping[str, "Done"]:
    """Run the daemon on each host, in forks of one program, and return how it ended."""
    jobs: list[Job] = [
        {"argv": host.words, "env": host.environ, "uid": os.getuid()}
        for host in hosts.values()
    ]
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("forking.py")],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(zip(hosts, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_keeps_it_from_starting_is_said_with_its_exit_code(
    hosts: Mapping[str, Host], ended: Mapping[str, "Done"], name: str
) -> None:
    """One line what, one line what to do, whatever the version of Python."""
    case, how = CASES[name], ended[name]
    assert how["err"] == hosts[name].expected(case)
    assert how["code"] == case.code


@pytest.mark.slow
def test_the_program_itself_ends_so(hosts: Mapping[str, Host]) -> None:
    """Not only a fork of it: what a task of the running daemon raised, for one."""
    name = "a runtime directory with a long name"
    program = Path(sys.executable).with_name("rensei-daemon")
    done = subprocess.run(
        [program, *hosts[name].words],
        env=hosts[name].environ,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.stderr == hosts[name].expected(CASES[name])
    assert done.returncode == 78
