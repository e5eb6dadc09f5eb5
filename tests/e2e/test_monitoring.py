"""A daemon that is monitored: over TCP, on the control socket, and by its own command."""

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS
from rig.exposition import read
from rig.tcp import free_port, get, say

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from e2e.conftest import Lab

SNAPSHOT = "/api/daemon/credentials/snapshot"


@pytest.fixture
def port(lab: "Lab") -> int:
    """The port that the host's configuration names."""
    chosen = free_port()
    listen = f'\n[metrics]\nlisten = "127.0.0.1:{chosen}"\n'
    lab.config.write_text(lab.config.read_text() + listen)
    return chosen


async def test_a_daemon_is_monitored_over_tcp(lab: "Lab", port: int) -> None:
    """It lives at once, is ready once its session has data, and tells no secret."""
    down = lab.platform.faults.add("POST", SNAPSHOT, status=503, times=10**6)
    async with lab.daemon() as daemon:
        assert await get(port, "/healthz") == (200, '{"live":true,"late":[]}')
        status, body = await get(port, "/readyz")
        assert (status, json.loads(body)["ready"]) == (503, False)
        await lab.until(lambda: down.served)
        down.times = 0
        with anyio.fail_after(HANG_SECONDS):
            while status != 200:
                status, _ = await get(port, "/readyz")
        await lab.until(lambda: len(lab.beats) > 2)
        text = await _scraped(port, 'kind="env_file",outcome="ok"')
        printed = await lab.call("metrics")
        listed = await lab.call("metrics", "--json")
        assert await daemon.stop() == 0
    told = read(text)
    assert told["rensei_daemon_heartbeats_total"].value(outcome="ok") >= 2
    snapshots = told["rensei_daemon_session_snapshots_total"]
    assert snapshots.value(session="build", reason="start", outcome="unavailable") == 1
    delivered = told["rensei_daemon_session_deliveries_total"]
    assert delivered.value(session="build", kind="env_file", outcome="ok") >= 1
    assert told["process_open_fds"].value() > 5
    assert read(printed.stdout).keys() == told.keys()
    assert {m["name"] for m in json.loads(listed.stdout) if m["samples"]} == told.keys()
    token = json.loads((lab.runtime / "token").read_text())["token"]
    for said in (text, printed.stdout, listed.stdout):
        assert [s for s in ("canary-", lab.key, token) if s in said] == []


async def _scraped(port: int, wanted: str) -> str:
    """Return the metrics, once these words are in them."""
    with anyio.fail_after(HANG_SECONDS):
        text = ""
        while wanted not in text:
            _, text = await get(port, "/metrics")
    return text


async def test_over_tcp_there_is_nothing_but_three_reads(lab: "Lab", port: int) -> None:
    """No status, no verb, and no word of why to whoever asks for one."""
    async with lab.daemon() as daemon:
        for method, path, status in (
            ("GET", "/v1/status", 404),
            ("GET", "/v1/sessions", 404),
            ("POST", "/v1/reload", 404),
            ("POST", "/metrics", 405),
        ):
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
            head, _ = await say(port, f"{request}Content-Length: 0\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ")
        assert await daemon.stop() == 0
    with pytest.raises(OSError, match="All connection attempts failed"):
        await get(port, "/healthz")


async def test_a_port_that_is_taken_is_a_condition(lab: "Lab", port: int) -> None:
    """The host goes on with its work; status and doctor say who has to act, and how."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, lab.daemon() as daemon:
        await lab.until(lambda: lab.beats)
        status = json.loads((await lab.call("status", "--json")).stdout)
        doctor = json.loads((await lab.call("doctor", "--json")).stdout)
        assert await daemon.stop() == 0
    (found,) = (c for c in status["conditions"] if c["code"] == "metrics.not_served")
    assert (found["severity"], found["message"], found["hint"]) == (
        "warning",
        f"cannot listen on 127.0.0.1:{port} for [metrics].listen: Address already in use",
        "another process listens there; see which: ss -ltnp",
    )
    said = [c for c in doctor["checks"] if "metrics" in c["code"] + c["evidence"]]
    assert [(c["code"], c["verdict"], c["fix"]) for c in said] == [
        ("daemon", "warn", found["hint"])
    ]
