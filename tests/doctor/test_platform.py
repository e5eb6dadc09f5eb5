"""The way to the platform under the doctor's eyes: real sockets, real certificates."""

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest
from needs import need
from platform_thread import running_platform

from rensei_daemon.doctor import platform
from rensei_daemon.doctor.platform import check_platform
from rensei_daemon.doctor.result import Verdict

if TYPE_CHECKING:
    from doctor.conftest import Patient


@contextmanager
def serving(
    *, skew_seconds: float = 0, certificate: Path | None = None, status: int = 405
) -> Iterator[str]:
    """Give one answer, by a clock that may be wrong; yield where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(
                datetime.now(UTC) + timedelta(seconds=skew_seconds), usegmt=True
            )

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def configure(patient: "Patient", url: str, more: str = "") -> None:
    """Make this the platform."""
    patient.write(f'[platform]\nurl = "{url}"\napi_key_file = "key"\n{more}')


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Make certificates for 127.0.0.1 that last so many days."""
    need("openssl")
    made = {}
    for days in (5, 90):
        path = tmp_path_factory.mktemp("tls") / "both.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
        command += ["-days", str(days), "-subj", "/CN=x"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(path), "-out", f"{path}.crt"]
        subprocess.run(command, check=True, capture_output=True)
        with path.open("a") as both:
            both.write(Path(f"{path}.crt").read_text())
        made[days] = path
    return made


def test_a_platform_in_reach_passes_step_by_step(patient: "Patient") -> None:
    """Without a session there is nothing to try the key on."""
    with serving() as url:
        configure(patient, url)
        found = patient.find(check_platform)
    assert {code: f.verdict for code, (f,) in found.items()} == dict.fromkeys(
        ("platform.route", "platform.dns", "platform.tcp", "platform.http", "clock"),
        Verdict.PASS,
    )


def test_a_wrong_path_is_asked_about(patient: "Patient") -> None:
    """Something answers there, and it is no platform."""
    with serving(status=404) as url:
        configure(patient, f"{url}/wrong")
        (found,) = patient.find(check_platform)["platform.path"]
    assert found.verdict is Verdict.FAIL
    assert "it answers 404" in found.evidence
    assert found.fix.startswith("is the path in platform.url right?")


def test_what_the_running_daemon_uses_counts(patient: "Patient") -> None:
    """Its platform and its environment, not those of the file and of this shell."""
    configure(patient, "http://127.0.0.1:9")
    case = replace(
        patient.case(https_proxy="shell:1"),
        status={"platform_url": "https://no..in-force.test"},
        is_running=True,
        environ={"https_proxy": "daemon:1"},
    )
    first, second, *_ = check_platform(case)
    assert first.evidence == (
        "https://no..in-force.test: through the proxy daemon:1 (https_proxy); "
        "from the next start on it is http://127.0.0.1:9"
    )
    assert second.evidence == (
        "commands of this shell: through the proxy shell:1 (https_proxy)"
    )


@pytest.mark.parametrize(
    ("skew", "verdict", "said"),
    [
        (29, Verdict.PASS, "within 30 s"),
        (-40, Verdict.WARN, "s ahead of the platform"),
        (40, Verdict.WARN, "s behind the platform"),
        (4000, Verdict.FAIL, "s behind the platform"),
    ],
)
def test_a_wrong_clock_is_seen(
    patient: "Patient", skew: float, verdict: Verdict, said: str
) -> None:
    """By the Date of an ordinary answer."""
    with serving(skew_seconds=skew) as url:
        configure(patient, url)
        (found,) = patient.find(check_platform)["clock"]
    assert found.verdict is verdict
    assert said in found.evidence


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, ": direct (neither https_proxy nor all_proxy is set)"),
        (
            {"https_proxy": "http://u:hunter2@[::1]:1"},
            "through the proxy [::1]:1 (https_proxy)",
        ),
        ({"https_proxy": "p:1", "no_proxy": "10/8,.test"}, 'direct (no_proxy has ".test")'),
    ],
)
def test_the_way_of_a_request_is_told(
    patient: "Patient", environ: dict[str, str], said: str
) -> None:
    """Direct or through which proxy, by which variable; never with its password."""
    configure(patient, "https://no..name.test")
    (found,) = patient.find(check_platform, **environ)["platform.route"]
    assert found.verdict is Verdict.PASS
    assert found.evidence.endswith(said)
    assert "hunter2" not in found.evidence


def test_a_name_that_cannot_be_ends_the_way(patient: "Patient") -> None:
    """Nothing behind it is guessed at."""
    configure(patient, "https://no..name")
    found = patient.find(check_platform)
    assert list(found) == ["platform.route", "platform.dns"]
    assert found["platform.dns"][0].verdict is Verdict.FAIL
    assert "getent ahosts no..name" in found["platform.dns"][0].fix


def test_a_closed_port_ends_the_way(patient: "Patient") -> None:
    """With what the connection failed of, for each address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    configure(patient, f"http://127.0.0.1:{port}")
    found = patient.find(check_platform)
    assert list(found) == ["platform.route", "platform.dns", "platform.tcp"]
    assert found["platform.tcp"][0].verdict is Verdict.FAIL
    assert "127.0.0.1: Connection refused" in found["platform.tcp"][0].evidence


def test_a_platform_that_never_answers_is_not_waited_for(
    patient: "Patient", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, and says nothing."""
    monkeypatch.setattr(platform, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        configure(patient, f"http://127.0.0.1:{listening.getsockname()[1]}")
        (found,) = patient.find(check_platform)["platform.http"]
    assert found.verdict is Verdict.FAIL
    assert found.evidence == "connected, but no answer within 0.2 s"


@pytest.mark.needs("two localhosts")
def test_one_dead_address_of_several_is_a_warning(patient: "Patient") -> None:
    """A broken IPv6 beside a good IPv4 costs time at each connection."""
    with serving() as url:
        configure(patient, url.replace("127.0.0.1", "localhost"))
        (found,) = patient.find(check_platform)["platform.tcp"]
    assert found.verdict is Verdict.WARN
    assert "1 of 2 addresses can be reached (::1: " in found.evidence


@pytest.mark.slow
@pytest.mark.parametrize(("days", "verdict"), [(90, Verdict.PASS), (5, Verdict.WARN)])
def test_a_certificate_is_told_with_its_days(
    patient: "Patient", certificates: dict[int, Path], days: int, verdict: Verdict
) -> None:
    """So that its end is seen before it comes."""
    path = certificates[days]
    with serving(certificate=path) as url:
        configure(patient, url, f'ca_file = "{path}.crt"\n')
        (found,) = patient.find(check_platform)["platform.tls"]
    assert found.verdict is verdict
    assert f"good for {days - 1} days" in found.evidence


def test_a_certificate_of_nobody_we_know_fails(
    patient: "Patient", certificates: dict[int, Path]
) -> None:
    """In the words the daemon's own log would have."""
    with serving(certificate=certificates[90]) as url:
        configure(patient, url)
        found = patient.find(check_platform)
    assert list(found)[-1] == "platform.tls"
    assert found["platform.tls"][0].verdict is Verdict.FAIL
    assert "self-signed certificate" in found["platform.tls"][0].evidence
    assert "platform.ca_file" in found["platform.tls"][0].fix


async def test_a_stopped_daemons_key_is_tried_and_changes_nothing(
    patient: "Patient",
) -> None:
    """One snapshot, thrown away: no registration, no beat, no stream."""
    with running_platform() as platform:
        platform.set_credential("github", "TOKEN", "canary-value")
        patient.write_key(platform.add_key())
        session = '[credentials]\nproject_id = "p"\n[[credentials.sessions]]\nid = "b"\n'
        configure(patient, platform.url, f'org_id = "org_acme"\n{session}')
        found = await anyio.to_thread.run_sync(patient.find, check_platform)
        patient.write_key("rsk_live_nobodys")
        refused = await anyio.to_thread.run_sync(patient.find, check_platform)
        kept = patient.locations.last_good
        kept.write_text(patient.locations.config.read_text())
        patient.write("[")
        broken = await anyio.to_thread.run_sync(patient.find, check_platform)
        log = platform.log
        assert [*log.registrations, *log.beats, *platform.streams] == []
    # Whom the key is for now, a file that cannot be read does not say.
    assert "platform.http" in broken
    assert "platform.key" not in broken
    (accepted,) = found["platform.key"]
    assert accepted.verdict is Verdict.PASS
    assert accepted.evidence == "the key is accepted; variables of session b: 1"
    (failed,) = refused["platform.key"]
    assert failed.verdict is Verdict.FAIL
    assert "401" in failed.evidence
    assert "nobodys" not in failed.evidence + failed.fix
