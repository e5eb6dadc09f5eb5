"""The example units of workers on a real systemd: started late, rotated, left alone."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from e2e.systemd.conftest import Host

EXAMPLES = Path(__file__).parents[3] / "packaging/systemd/examples"
UNITS = "/etc/systemd/system"
LOG = "/run/workers"

SESSIONS = """
[credentials]
project_id = "proj_a"
group = "{group}"
[[credentials.sessions]]
id = "build"
group = "build"
env_file = "build.env"
[[credentials.sessions]]
id = "test"
group = "test"
"""
# Says which unit's it is, with which token, and stays.
WORKER = """\
#!/bin/sh
unit=$(sed -n 's|.*/||p' /proc/self/cgroup | tail -n 1)
echo "start $TOKEN" >>/run/workers/"$unit"
exec sleep infinity
"""
NOTING = """\
[Service]
ExecStopPost=/bin/sh -c 'echo stop >>/run/workers/worker.service'
"""
RELOADABLE = """\
[Service]
ExecReload=/bin/sh -c 'sed "s/TOKEN=/reload /" $ENV_FILE >>/run/workers/worker.service'
Environment=ENV_FILE=/run/rensei-daemon/build.env
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(host: "Host") -> "Host":
    """A host with the example units, the user and the groups that they name."""
    for group in ("test", "workers"):
        host.run("groupadd", group)
    host.run("useradd", "--no-create-home", "worker")
    host.write(
        f"{UNITS}/{host.unit}.d/groups.conf",
        "[Service]\nSupplementaryGroups=build test workers\nRestartSec=100ms\n",
    )
    for unit in EXAMPLES.glob("worker*"):
        host.write(f"{UNITS}/{unit.name}", unit.read_text())
    host.path(f"{UNITS}/worker.service.d").mkdir()
    host.write(f"{UNITS}/worker.service.d/note.conf", NOTING)
    host.run("ln", "--symbolic", host.program, "/usr/bin/rensei-daemon")
    host.write("/usr/local/bin/worker", WORKER)
    host.path("/usr/local/bin/worker").chmod(0o755)
    host.path(LOG).mkdir()
    host.path(LOG).chmod(0o777)
    host.run("systemctl", "daemon-reload")
    return host


@pytest.fixture
def off(prepared: "Host") -> Iterator["Host"]:
    """That host, with the daemon stopped, and every worker stopped in the end."""
    configure(prepared, "build")
    prepared.run("systemctl", "stop", prepared.unit)
    prepared.rotate("first")
    yield prepared
    prepared.run("systemctl", "stop", "worker*", prepared.unit)
    prepared.run("systemctl", "reset-failed")
    prepared.run("find", LOG, "-type", "f", "-delete")
    prepared.run("rm", "-rf", "/run/worker-reload")


def configure(host: "Host", group: str) -> None:
    """Have this group connect to the credential socket from the next start on."""
    head = host.good_config.partition("[credentials]")[0]
    host.write(host.config, head + SESSIONS.format(group=group))


@contextmanager
def late_platform(host: "Host") -> Iterator[None]:
    """Have the platform take connections and say nothing while the block runs."""
    host.run("systemctl", "kill", "--signal=STOP", "control-plane")
    try:
        yield
    finally:
        host.run("systemctl", "kill", "--signal=CONT", "control-plane")


@contextmanager
def late_network(host: "Host") -> Iterator[None]:
    """Have nothing reach the platform while the block runs."""
    host.run("ip", "link", "set", "lo", "down")
    try:
        yield
    finally:
        host.run("ip", "link", "set", "lo", "up")


def shown(host: "Host", unit: str, name: str) -> str:
    """Return what systemd says of a unit."""
    return host.run(
        "systemctl", "show", "--value", f"--property={name}", unit
    ).stdout.strip()


def said(host: "Host", unit: str = "worker.service") -> list[str]:
    """Return what a worker has said so far."""
    with suppress(FileNotFoundError):
        return host.path(f"{LOG}/{unit}").read_text().splitlines()
    return []


def until_looked(host: "Host", before: str) -> None:
    """Wait until worker-reload.service has run again, and what it asked for is done."""
    unit = "worker-reload.service"
    host.until(lambda: shown(host, unit, "InvocationID") not in ("", before))
    host.until(lambda: "No jobs" in host.run("systemctl", "list-jobs").stdout)


def test_a_worker_starts_with_values_however_late_the_platform_is(off: "Host") -> None:
    """Its start waits over the credential socket, as its own user, and is not repeated."""
    with late_platform(off):
        units = ("worker-reload.path", "worker.service")
        off.run("systemctl", "start", "--no-block", off.unit, *units)
        off.until(lambda: shown(off, off.unit, "ActiveState") == "active")
        off.until(lambda: shown(off, "worker.service", "SubState") == "start-pre")
        assert not off.path(off.env_file).exists()
    off.until(lambda: said(off))
    until_looked(off, "")
    assert shown(off, "worker.service", "ActiveState") == "active"
    assert shown(off, "worker.service", "User") == "worker"
    assert said(off) == ["start first"]
    off.rotate("second")
    off.until(lambda: "start second" in said(off))
    assert said(off) == ["start first", "stop", "start second"]


def test_only_new_values_touch_a_worker(off: "Host") -> None:
    """A stop of the daemon, a start that fails and a start with equal values do not."""
    off.run("systemctl", "start", off.unit, "worker-reload.path", "worker.service")
    off.until(lambda: said(off))
    before = shown(off, "worker-reload.service", "InvocationID")
    off.run("systemctl", "stop", off.unit)
    until_looked(off, before)
    assert not off.path(off.env_file).exists()
    fail_to_start(off)
    before = shown(off, "worker-reload.service", "InvocationID")
    off.run("systemctl", "start", off.unit)
    off.until(off.path(off.env_file).exists)
    until_looked(off, before)
    assert said(off) == ["start first"]
    off.rotate("second")
    off.until(lambda: "start second" in said(off))
    assert said(off) == ["start first", "stop", "start second"]


def fail_to_start(host: "Host") -> None:
    """Have the daemon end with exit code 78."""
    host.path(host.key_file).unlink()
    try:
        assert host.run("systemctl", "start", host.unit, check=False).returncode != 0
        assert shown(host, host.unit, "ExecMainStatus") == "78"
    finally:
        host.put_key()


def test_a_worker_that_can_reload_is_not_restarted(off: "Host") -> None:
    """It is reloaded instead, and has the newest of a burst that came during reloads."""
    drop_in = off.path(f"{UNITS}/worker.service.d/reload.conf")
    drop_in.write_text(RELOADABLE)
    off.run("systemctl", "daemon-reload")
    try:
        off.run("systemctl", "start", off.unit, "worker-reload.path", "worker.service")
        off.until(lambda: said(off))
        off.rotate("second")
        off.until(lambda: said(off) == ["start first", 'reload "second"'])
        for number in range(20):
            off.rotate(f"burst-{number}")
        off.until(lambda: said(off)[-1] == 'reload "burst-19"')
        assert "stop" not in said(off)
    finally:
        drop_in.unlink()
        off.run("systemctl", "daemon-reload")


@pytest.mark.needs("ip")
def test_a_worker_of_one_group_need_not_name_its_session(off: "Host") -> None:
    """Of two sessions it may use one, waits for its values, and follows their rotation."""
    unit = "worker-exec.service"
    with late_network(off):
        off.run("systemctl", "start", "--no-block", off.unit, unit)
        off.until(lambda: shown(off, off.unit, "ActiveState") == "active")
    off.until(lambda: said(off, unit) == ["start first"])
    off.rotate("second")
    off.until(lambda: said(off, unit) == ["start first", "start second"])
    off.run("systemctl", "restart", off.unit)
    off.rotate("third")
    off.until(lambda: said(off, unit)[2:] == ["start third"])


def test_one_worker_for_each_session(off: "Host") -> None:
    """An instance has its session's values, and may not have another's."""
    configure(off, "workers")
    units = ("worker@build.service", "worker@test.service")
    off.run("systemctl", "start", off.unit, *units)
    for unit in units:
        off.until(lambda: said(off, unit) == ["start first"])  # noqa: B023 - called here
    stranger = ["--reuid=worker", "--regid=build", "--groups=workers"]
    words = ["setpriv", *stranger, off.program, "credentials", "wait", "--session=test"]
    refused = off.run(*words, check=False)
    assert refused.returncode == 77
    assert "you may not have the credentials of session test" in refused.stderr
