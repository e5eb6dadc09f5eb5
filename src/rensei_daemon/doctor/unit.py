"""The unit: whether systemd restarts the daemon, and how it is confined."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, passed, warned

UNIT = "rensei-daemon.service"
MOST_EXPOSURE = 2.2
"""The acceptable exposure in `systemd-analyze security`; the packaged unit has 1.4."""
PROGRAM_SECONDS = 5.0

_PROPERTIES = (
    "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "NeedDaemonReload",
    "UnitFileState", "FragmentPath", "WatchdogUSec", "ExecMainStatus", "MainPID",
)  # fmt: skip
_ENVIRONMENT = re.compile(r"^([ \t]*Environment=).*$", re.MULTILINE)
_EXPOSURE = re.compile(r"exposure level for [^:]+: ([0-9.]+)")


def check_unit(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the unit, if the daemon has one."""
    scope = case.locations.unit_scope
    if scope is None:
        yield passed("unit", "started by hand: the configuration is not a unit's")
        return
    if not Path("/run/systemd/system").is_dir():
        yield passed("unit", "this host is not run by systemd")
        return
    manager = ("--user",) if scope == "user" else ()
    shown = _shown(manager)
    if shown is None:
        what = "systemctl does not answer"
        yield warned("unit", what, f"{_systemctl(manager)} status {UNIT}")
        return
    yield from judge_unit(shown, manager)
    if scope == "system" and shown["LoadState"] == "loaded":
        output = _run("systemd-analyze", "security", "--no-pager", UNIT)
        yield from judge_exposure(output or "")


def judge_unit(shown: Mapping[str, str], manager: Sequence[str]) -> Iterator[CheckResult]:
    """Return the problems of a unit with these properties."""
    systemctl = _systemctl(manager)
    if shown["LoadState"] != "loaded":
        fix = "rensei-daemon install" + (" --user" if manager else "")
        yield warned("unit", f"there is no unit {UNIT} ({shown['LoadState']})", fix)
        return
    what = f"{shown['ActiveState']} ({shown['SubState']}), {shown['UnitFileState']}"
    if shown["NeedDaemonReload"] == "yes":
        text = "its file has changed since systemd read it"
        yield warned("unit", text, f"{systemctl} daemon-reload, then restart {UNIT}")
    if shown["ActiveState"] == "failed":
        text = f"{what}: {shown['Result']}, exit code {shown['ExecMainStatus']}"
        yield failed("unit", text, f"rensei-daemon logs -n 50; {systemctl} start {UNIT}")
    elif shown["UnitFileState"] == "disabled":
        text = f"{what}: it will not come back after a reboot"
        yield warned("unit", text, f"{systemctl} enable {UNIT}")
    elif shown["WatchdogUSec"] in ("0", "infinity") and shown["ActiveState"] == "active":
        text = f"{what}, without a watchdog"
        yield warned("unit", text, "WatchdogSec=60s in the unit, as packaged")
    else:
        restarts = shown["NRestarts"]
        again = f", restarted {restarts} times" if restarts not in ("", "0") else ""
        yield passed("unit", what + again)


def judge_exposure(output: str) -> Iterator[CheckResult]:
    """Return whether the exposure in `systemd-analyze security` is acceptable."""
    found = _EXPOSURE.search(output)
    if found is None:
        return  # an older systemd, or this user may not ask it
    score = float(found[1])
    if score > MOST_EXPOSURE:
        what = f"the unit is confined less than it could be (exposure {score:g} of 10)"
        fix = "rensei-daemon install brings the packaged unit (1.4); see systemctl cat"
        yield warned("hardening", what, fix)
    else:
        yield passed("hardening", f"exposure {score:g} of 10")


def describe_unit(scope: str | None) -> str:
    """Return the unit as systemd sees it, with drop-ins, without its environment."""
    manager = ("--user",) if scope == "user" else ()
    if scope is None:
        return ""
    words = (("cat",), ("status", "--no-pager", "--lines=0"))
    output = "\n".join(_run("systemctl", *manager, *word, UNIT) or "" for word in words)
    return without_environment(output).strip()


def without_environment(unit: str) -> str:
    """Remove what a unit sets: it may contain a key or a proxy's password."""
    return _ENVIRONMENT.sub(r"\1…", unit)


def _shown(manager: Sequence[str]) -> Mapping[str, str] | None:
    names = ",".join(_PROPERTIES)
    output = _run("systemctl", *manager, "show", UNIT, f"--property={names}")
    if not output:
        return None
    pairs = dict(line.partition("=")[::2] for line in output.splitlines())
    return {name: pairs.get(name, "") for name in _PROPERTIES}


def _systemctl(manager: Sequence[str]) -> str:
    return " ".join(("systemctl", *manager))


def _run(*words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - no argument comes from the user
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
