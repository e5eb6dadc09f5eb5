"""The daemon's sockets: whether it listens on them, and who may connect."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from rensei_daemon.core.conditions import Code
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, passed, warned
from rensei_daemon.errors import DaemonSilentError
from rensei_daemon.sockets.connecting import not_permitted

CONNECT_SECONDS = 2.0


def check_sockets(case: DoctorContext) -> Iterator[CheckResult]:
    """Connect to every socket of a running daemon, and close it without a request."""
    if not case.is_running or isinstance(case.silence, DaemonSilentError):
        return  # another check reports a daemon that does not run or hangs
    restart = f"{case.locations.systemctl} restart rensei-daemon"
    for path, way_in in (
        (case.locations.control_socket, "a group that may read: [control].group"),
        (case.locations.credential_socket, "a group that may connect: [credentials].group"),
    ):
        yield _knock(path, way_in, restart)
    address = case.settings.metrics.address if case.settings else None
    if address is not None and not _are_metrics_refused(case):
        yield _knock_over_tcp(address, restart)


def _are_metrics_refused(case: DoctorContext) -> bool:
    """Whether the daemon cannot listen there, as another check reports; another may."""
    conditions = (case.status or {}).get("conditions", ())
    return any(condition["code"] == Code.METRICS_NOT_SERVED for condition in conditions)


def _knock_over_tcp(address: tuple[str, int], restart: str) -> CheckResult:
    """Connect to the address of the metrics, without a request."""
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        what = (
            f"[metrics].listen is set, but nothing answers there: {error.strerror or error}"
        )
        return failed("metrics", what, restart)
    return passed("metrics", f"{address[0]} port {address[1]} is served")


def _knock(path: Path, way_in: str, restart: str) -> CheckResult:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(CONNECT_SECONDS)
        try:
            visitor.connect(os.fspath(path))
        except PermissionError:
            refusal = not_permitted(path, way_in=way_in)
            return warned("socket", str(refusal), refusal.hint)
        except (TimeoutError, BlockingIOError):
            what = f"{path} accepts no connection: the daemon is stuck or overloaded"
            return failed("socket", what, "rensei-daemon logs -n 50")
        except OSError as error:
            what = f"nothing listens at {path}: {error.strerror}"
            return failed("socket", what, restart)
    return passed("socket", f"{path} is served")
