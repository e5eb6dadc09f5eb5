"""The two sockets under the doctor's eyes."""

import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rensei_daemon.doctor.result import Verdict
from rensei_daemon.doctor.sockets import check_sockets

if TYPE_CHECKING:
    from doctor.conftest import Patient


def test_a_stopped_daemon_is_not_knocked_at(patient: "Patient") -> None:
    """That it does not run says it all."""
    assert list(check_sockets(patient.case())) == []


@pytest.mark.parametrize("listening", [True, False])
def test_a_socket_is_served_or_a_failure(patient: "Patient", listening: bool) -> None:
    """A socket file without a listener is as bad as none."""
    places, case = patient.locations, replace(patient.case(), is_running=True)
    with ExitStack() as stack:
        for path in (places.control_socket, places.credential_socket):
            served = stack.enter_context(socket.socket(socket.AF_UNIX))
            served.bind(str(path))
            if listening:
                served.listen()
        found = list(check_sockets(case))
    wanted = Verdict.PASS if listening else Verdict.FAIL
    assert [f.verdict for f in found] == [wanted, wanted]
    assert str(places.credential_socket) in found[1].evidence


def test_metrics_that_are_asked_for_are_served_or_a_failure(patient: "Patient") -> None:
    """A port that was changed in the file waits for a restart."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        patient.configure(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
        case = replace(patient.case(), is_running=True)
        *_, served = check_sockets(case)
    *_, silent = check_sockets(case)
    assert (served.code, served.verdict) == ("metrics", Verdict.PASS)
    assert (silent.code, silent.verdict) == ("metrics", Verdict.FAIL)
    assert silent.fix == "systemctl restart rensei-daemon"


def test_who_listens_in_the_place_of_the_daemon_does_not_serve_metrics(
    patient: "Patient",
) -> None:
    """The check of the daemon reports it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        patient.configure(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
        status = {"conditions": [{"code": "metrics.not_served"}]}
        case = replace(patient.case(), is_running=True, status=status)
        codes = [check.code for check in check_sockets(case)]
    assert codes == ["socket", "socket"]
