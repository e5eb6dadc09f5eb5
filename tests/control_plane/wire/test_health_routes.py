"""What supervisors and Prometheus are told."""

import pytest
from databases import one_database
from platform_server import Server
from sqlalchemy import URL

from rensei_platform.store.engine import Store
from rensei_platform.store.trouble import NOT_OPENED


async def test_a_server_is_alive_and_ready(server: Server) -> None:
    """Both answers need no key."""
    alive = await server.http.get("/healthz")
    assert (alive.status_code, alive.text) == (200, "ok\n")
    ready = await server.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


async def test_a_server_without_its_database_is_not_ready(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is alive, answers 503 to everything else, and says when to come back."""
    away = Store(URL.create("sqlite", database="/nonexistent/platform.db"))
    monkeypatch.setattr(server.platform.store, "_readers", away._readers)
    assert (await server.http.get("/healthz")).status_code == 200
    for path, advice in (
        ("/readyz", f" {NOT_OPENED.hint}"),
        ("/api/admin/hosts", ""),
    ):
        answer = await server.call("GET", path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) in range(5, 11)
        assert answer.json() == {"error": NOT_OPENED.message + advice}


async def test_those_refused_together_are_not_asked_back_together(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet returns over as long again as the shortest wait."""
    away = Store(URL.create("sqlite", database="/nonexistent/platform.db"))
    monkeypatch.setattr(server.platform.store, "_readers", away._readers)
    answers = [await server.call("GET", "/api/admin/hosts") for _ in range(60)]
    waits = {int(answer.headers["retry-after"]) for answer in answers}
    assert waits <= set(range(5, 11))
    assert len(waits) > 2


@one_database
async def test_requests_are_counted_by_call(server: Server) -> None:
    """Labels are names of calls: no id, no path and no method of a caller's."""
    worker = await server.register()
    await worker.beat()
    await server.http.request("PATCH", "/nowhere/sk-canary")
    lines = (await server.http.get("/metrics")).text.splitlines()
    for line in (
        'rensei_platform_requests_total{call="heartbeat",method="POST",status="200"} 1.0',
        'rensei_platform_requests_total{call="none",method="other",status="404"} 1.0',
        'rensei_platform_request_seconds_count{call="heartbeat"} 1.0',
        "rensei_platform_streams 0.0",
    ):
        assert line in lines
    assert worker.id not in str(lines)
    assert "canary" not in str(lines)
