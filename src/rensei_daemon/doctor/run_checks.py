"""Runs all checks at the same time, with one deadline.

A check may hang where the daemon would: in a name lookup, or on a disk that is gone. So
each group of checks has its own thread, and nobody waits for it longer than the deadline.
What it has found by then is reported.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from rensei_daemon.doctor.api_key import check_api_key
from rensei_daemon.doctor.configuration import check_configuration
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.daemon import check_daemon
from rensei_daemon.doctor.host_requirements import check_host_requirements
from rensei_daemon.doctor.platform import check_platform
from rensei_daemon.doctor.result import CheckResult, failed, failed_by, warned
from rensei_daemon.doctor.sockets import check_sockets
from rensei_daemon.doctor.storage import check_storage
from rensei_daemon.doctor.unit import check_unit
from rensei_daemon.errors import RenseiError

SECONDS = 11.0
"""With the time to start and to be answered, 15 in all."""

Check = Callable[[DoctorContext], Iterator[CheckResult]]

CHECKS: Mapping[str, Check] = {
    "config": check_configuration,
    "needs": check_host_requirements,
    "key": check_api_key,
    "platform": check_platform,
    "daemon": check_daemon,
    "socket": check_sockets,
    "storage": check_storage,
    "unit": check_unit,
}
"""By the code that is reported if a group does not finish in time."""


def run_checks(
    case: DoctorContext, families: Mapping[str, Check], *, seconds: float = SECONDS
) -> list[CheckResult]:
    """Return the results of every group, in order, after `seconds` at the latest."""
    found: dict[str, list[CheckResult]] = {name: [] for name in families}
    threads = {
        name: threading.Thread(
            target=_collect, args=(name, family, case, found[name]), daemon=True
        )
        for name, family in families.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + seconds
    findings: list[CheckResult] = []
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        findings += found[name]
        if thread.is_alive():
            what = f"not finished within {seconds:g} s"
            findings.append(warned(name, what, "try again; what it waits for hangs"))
    return findings


def _collect(
    name: str, family: Check, case: DoctorContext, found: list[CheckResult]
) -> None:
    try:
        for finding in family(case):
            found.append(finding)  # at once, because the next one may hang
    except RenseiError as error:
        found.append(failed_by(name, error))
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        what = f"internal error: {type(error).__name__}: {error}"
        found.append(failed(name, what, "please report it, with: rensei-daemon --version"))
