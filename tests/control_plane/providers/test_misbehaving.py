"""Every provider when what is behind it hangs, floods or lies: one table for each.

A rotation is then 502 and names provider and kind, snapshots go on with the last good
values, no value is in any text, and no answer takes more memory than its limit allows.
"""

import gzip
import json
import os
import ssl
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from certificates import write_certificate
from platform_server import ORG, Server, running, sqlite_url
from small_http import Answer, Request, answer, small_server
from sqlalchemy import update
from structlog.testing import capture_logs

from rensei_platform.providers.database import ValueScope
from rensei_platform.settings import ServerSettings
from rensei_platform.store.tables import credential_values, resolved_sets

pytestmark = pytest.mark.slow

CANARY = "canary-of-the-misbehaving"
GOOD = {"TOKEN": "the-last-good-value", "OTHER": "x"}
MIB = 1024 * 1024
LARGE = 40 * MIB
MOST_GROWTH = 8 * MIB
"""For an answer of at most 1 MiB, several times over: read, decoded, parsed, stored."""
KIND = "byok"
PATH = f"{'v' * 26}/{'i' * 26}"
"""Ids, as 1Password has them."""
IN_TIME = "no answer within 0.1 s"
NOT_TEXT = "the value of TOKEN is not text that a variable can hold"
TOO_LARGE = f"the answer is larger than {MIB} bytes"
NOT_JSON = "the answer is not JSON"
NOT_A_NAME = "is not the name of a variable"

LIES: dict[str, tuple[str, str]] = {
    "null": ('{"TOKEN": null}', "the field 'TOKEN' is not text"),
    "nested": (f'{{"TOKEN": {{"a": "{CANARY}"}}}}', "the field 'TOKEN' is not text"),
    "list": (f'{{"TOKEN": ["{CANARY}"]}}', "the field 'TOKEN' is not text"),
    "NaN": ('{"TOKEN": NaN}', NOT_JSON),
    "twice": (f'{{"TOKEN": "a", "TOKEN": "{CANARY}"}}', "the answer names a field twice"),
    "NUL in a value": (f'{{"TOKEN": "{CANARY}\\u0000"}}', NOT_TEXT),
    "half a character": (f'{{"TOKEN": "{CANARY}\\ud800"}}', NOT_TEXT),
    "NUL in a name": ('{"TO\\u0000KEN": "a"}', f"'TO\\x00KEN' {NOT_A_NAME}"),
    "bidi in a name": ('{"\\u202eNEKOT": "a"}', f"'\\u202eNEKOT' {NOT_A_NAME}"),
    "a long name": (f'{{"{"N" * 300}": "a"}}', f"'{'N' * 64}' {NOT_A_NAME}"),
    "no field": ("{}", "there is no field at the path"),
    "too many": (json.dumps({f"N{n}": "x" for n in range(501)}), f"more than {MIB} bytes"),
}
"""What no field of a secret may be: JSON of the fields, and why it is refused."""

TRUE: dict[str, tuple[str, dict[str, str]]] = {
    "number": ('{"TOKEN": 5432}', {"TOKEN": "5432"}),
    "bidi in a value": ('{"TOKEN": "a\\u202eb"}', {"TOKEN": "a\u202eb"}),
}
"""What is unusual, and as good as any: values are opaque."""


# ---- what is asked of each ---------------------------------------------------------------


async def _bind(
    server: Server, provider: str, names: Mapping[str, str] | None = None
) -> None:
    body = {"provider": provider, "path": PATH, "names": dict(names or {})}
    await server.ok("PUT", f"/api/admin/credentials/{KIND}/binding", body)


async def _snapshot(server: Server) -> Any:
    async with server.platform.store.write() as db:  # so that the provider is asked
        await db.execute(update(resolved_sets).values(stale_at=server.platform.now()))
    body = {"orgId": ORG, "sessionId": "s"}
    found = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    return found["env"]


async def _rotate(server: Server) -> tuple[int, Any]:
    body = {"orgId": ORG, "kind": KIND}
    response = await server.call("POST", "/api/daemon/credentials/rotate", body)
    return response.status_code, response.json()


async def _rotate_within_bounds(server: Server) -> tuple[int, Any]:
    """Rotate, and see how much memory that took beyond what was there."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        answered = await _rotate(server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MOST_GROWTH, f"{(peak - before) / MIB:.1f} MiB"
    return answered


async def _rotate_in_a_hurry(server: Server) -> tuple[int, Any]:
    """Rotate with a short deadline; answers that are good have the usual one."""
    limits = server.platform.registry._instances["there"].limits
    usual = limits.timeout_seconds
    object.__setattr__(limits, "timeout_seconds", 0.1)
    try:
        return await _rotate(server)
    finally:
        object.__setattr__(limits, "timeout_seconds", usual)


async def _is_refused(server: Server, provider: str, case: str, reason: str) -> None:
    ask = ASK.get(case, _rotate)
    with capture_logs() as logs:
        status, body = await ask(server)
        assert (case, status, body.keys()) == (case, 502, {"error"})
        told = body["error"]
        assert told.startswith(f"Credential provider {provider} (kind {KIND}): "), case
        assert reason in told, (case, told)
        assert len(told) < 300
        assert await _snapshot(server) == GOOD, case
    assert CANARY not in f"{told} {logs}", case


ASK = {
    **dict.fromkeys(("40 MB", "gzip bomb", "endless"), _rotate_within_bounds),
    **dict.fromkeys(("hang", "drip"), _rotate_in_a_hurry),
}


async def _is_taken(server: Server, case: str, values: Mapping[str, str]) -> None:
    status, told = await _rotate(server)
    assert (case, status) == (case, 200), told
    assert await _snapshot(server) == values, case


# ---- over HTTP ---------------------------------------------------------------------------


async def _hang(_: ByteStream) -> None:
    await anyio.sleep_forever()


async def _drip(stream: ByteStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await stream.send(b" ")
        await anyio.sleep(0.01)  # passes time: a byte before each timeout of a read


async def _flood(stream: ByteStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(LARGE // 65536):
        await stream.send(b" " * 65536)


def _bomb() -> bytes:
    return gzip.compress(b"{" + b" " * LARGE, 1)


def _faults() -> dict[str, tuple[Answer, str]]:
    return {
        "hang": (_hang, IN_TIME),
        "drip": (_drip, IN_TIME),
        "40 MB": (_flood, TOO_LARGE),
        "gzip bomb": (
            answer(200, _bomb(), "Content-Encoding: gzip"),
            "answered in a compressed form that was not asked for",
        ),
        "redirect": (
            answer(302, b"", f"Location: http://127.0.0.1:1/{CANARY}"),
            "answered with a redirect, which is not followed",
        ),
        "not JSON": (answer(200, CANARY.encode()), NOT_JSON),
        "too deep": (answer(200, b"[" * 100_000), NOT_JSON),
        "5xx": (answer(500, CANARY.encode()), "(status 500)"),
        "cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", "cannot be reached ("),
    }


class Upstream:
    """A secret store that answers as it is set to."""

    def __init__(self, good: Answer) -> None:
        self.answer = good

    def __call__(self, _: Request) -> Answer:
        return self.answer


async def _over_http(
    tmp_path: Path, kind: str, wrapped: Callable[[str], str], lies: Mapping[str, Any]
) -> None:
    """Try a provider that speaks HTTP; `wrapped` has fields as its server shows them."""
    good = answer(200, wrapped(json.dumps(GOOD)).encode())
    upstream = Upstream(good)
    async with small_server(upstream) as store, _elsewhere(tmp_path, upstream) as other:
        tables = {"there": _table(kind, store.address)}
        tables["elsewhere"] = _table(kind, other.address)
        certificate = str(tmp_path / "tls.pem")
        misnamed = other.address.replace("127.0.0.1", "localhost")
        tables["misnamed"] = _table(kind, misnamed, ca_file=certificate)
        settings = ServerSettings(providers=tables, stop_seconds=0)
        async with running(sqlite_url(tmp_path), tmp_path / "k", settings) as server:
            await _bind(server, "there")
            assert await _snapshot(server) == GOOD
            for case, (fault, reason) in {**_faults(), **lies}.items():
                upstream.answer = fault
                await _is_refused(server, "there", case, reason)
            upstream.answer = good
            for case, (text, values) in TRUE.items():
                upstream.answer = answer(200, wrapped(text).encode())
                await _is_taken(server, case, values)
            upstream.answer = good
            await _bind(server, "there", {"TOKEN": "TOKEN"})
            await _is_taken(server, "more than the map", {"TOKEN": GOOD["TOKEN"]})
            await _has_wrong_certificates(server)


def _elsewhere(directory: Path, upstream: Upstream) -> Any:
    certificate, key = write_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return small_server(upstream, context)


async def _has_wrong_certificates(server: Server) -> None:
    for provider in ("elsewhere", "misnamed"):
        await _bind(server, provider)
        status, body = await _rotate(server)
        assert status == 502
        told = (
            f"Credential provider {provider} (kind {KIND}): its certificate is not trusted"
        )
        assert body["error"].startswith(told)


def _table(kind: str, address: str, **more: str) -> dict[str, Any]:
    return {"type": kind, "address": address, "token": "t", "allow": {"*": ""}, **more}


def _as_answers(wrapped: Callable[[str], str], *but: str) -> dict[str, tuple[Answer, str]]:
    lies = {case: lie for case, lie in LIES.items() if case not in but}
    return {
        case: (answer(200, wrapped(text).encode()), reason)
        for case, (text, reason) in lies.items()
    }


async def test_vault(tmp_path: Path) -> None:
    """OpenBao and Vault: fields stand in `data.data`."""

    def wrapped(fields: str) -> str:
        return f'{{"data": {{"data": {fields}, "ttl": 0}}}}'

    shape = {
        "wrong shape": (answer(200, {"data": [CANARY]}), "the answer has no data"),
        "no version 2": (answer(200, {"data": {"a": CANARY}}), "is not a KV engine"),
    }
    await _over_http(tmp_path, "vault", wrapped, _as_answers(wrapped) | shape)


async def test_onepassword(tmp_path: Path) -> None:
    """1Password Connect: fields are a list of labels and values."""

    def wrapped(fields: str) -> str:
        pairs = json.loads(fields, object_pairs_hook=list)
        return json.dumps({"fields": [{"label": k, "value": v} for k, v in pairs]})

    lies = _as_answers(wrapped, "null", "NaN", "twice") | {
        "null": (answer(200, {"fields": [{"label": "TOKEN"}]}), "there is no field"),
        "NaN": (answer(200, wrapped('{"TOKEN": NaN}').encode()), NOT_JSON),
        "twice": (
            answer(200, wrapped('{"A": "", "A": "a", "A": "b"}').encode()),
            "the same label",
        ),
        "wrong shape": (answer(200, [CANARY]), "the answer is not a JSON object"),
        "wrong fields": (answer(200, {"fields": {"a": CANARY}}), "there is no field"),
    }
    await _over_http(tmp_path, "onepassword", wrapped, lies)


# ---- on this machine ---------------------------------------------------------------------


async def test_exec(tmp_path: Path) -> None:
    """A command: whatever it prints, and if it never ends."""
    script, printed = tmp_path / "script", tmp_path / "printed"

    def prints(text: str) -> str:
        return f"cat <<'END'\n{text}\nEND\n"

    faults = {
        "hang": ("sleep 60", IN_TIME),
        "drip": ("while :; do printf ' '; sleep 0.05; done", IN_TIME),
        "40 MB": (f"head -c {LARGE} /dev/zero", TOO_LARGE),
        "endless": ("yes", TOO_LARGE),
        "gzip bomb": (f"cat {printed}", NOT_JSON),
        "not JSON": (f"echo {CANARY}", NOT_JSON),
        "wrong shape": (prints(f'["{CANARY}"]'), "the answer is not a JSON object"),
        "failure": (
            f"echo {CANARY}; echo {CANARY} >&2; exit 3",
            "the command exited with 3",
        ),
        "killed": ("kill -9 $$", "the command was killed by signal 9"),
        "silence": ("exit 0", NOT_JSON),
    }
    printed.write_bytes(_bomb())
    script.write_text(prints(json.dumps(GOOD)))
    table = {"type": "exec", "command": ["/bin/sh", str(script)], "allow": {"*": ""}}
    settings = ServerSettings(providers={"there": table}, stop_seconds=0)
    async with running(sqlite_url(tmp_path), tmp_path / "k", settings) as server:
        await _bind(server, "there")
        assert await _snapshot(server) == GOOD
        for case, (text, reason) in faults.items():
            script.write_text(text)
            await _is_refused(server, "there", case, reason)
        for case, (text, reason) in LIES.items():
            script.write_text(prints(text))
            await _is_refused(server, "there", case, reason)
        for case, (text, values) in TRUE.items():
            script.write_text(prints(text))
            await _is_taken(server, case, values)
        script.write_text(prints(json.dumps(GOOD)))
        await _bind(server, "there", {"TOKEN": "TOKEN"})
        await _is_taken(server, "more than the map", {"TOKEN": GOOD["TOKEN"]})


async def test_file(tmp_path: Path) -> None:
    """A directory: files that are large, odd, or no files."""
    root = tmp_path / "root" / PATH
    root.mkdir(parents=True)
    token = root / "TOKEN"

    def good() -> None:
        token.unlink(missing_ok=True)
        for name, text in GOOD.items():
            (root / name).write_text(text)

    def becomes(make: Callable[[], object]) -> Callable[[], None]:
        def change() -> None:
            token.unlink()
            make()

        return change

    faults: dict[str, tuple[Callable[[], object], str]] = {
        # A hole: nothing is on the disk.
        "40 MB": (lambda: os.truncate(token, LARGE), "the files are larger than"),
        "endless": (becomes(lambda: token.symlink_to("/dev/zero")), "leads out of the"),
        "a pipe": (becomes(lambda: os.mkfifo(token)), "'TOKEN' is not a regular file"),
        "not UTF-8": (lambda: token.write_bytes(CANARY.encode() + b"\xff"), "is not UTF-8"),
        "NUL in a value": (lambda: token.write_bytes(CANARY.encode() + b"\0"), NOT_TEXT),
        "a loop": (becomes(lambda: token.symlink_to(token)), "the file cannot be"),
        "gone": (becomes(lambda: None), "there is no such file"),
        "a directory": (becomes(token.mkdir), "'TOKEN' is not a regular file"),
    }
    table = {"type": "file", "directory": str(tmp_path / "root"), "allow": {"*": ""}}
    settings = ServerSettings(providers={"there": table}, stop_seconds=0)
    good()
    async with running(sqlite_url(tmp_path), tmp_path / "k", settings) as server:
        await _bind(server, "there", {name: name for name in GOOD})
        for case, (fault, reason) in faults.items():
            good()
            await _is_taken(server, f"good before {case}", GOOD)
            fault()
            await _is_refused(server, "there", case, reason)
        token.rmdir()
        good()
        (root / "\u202eNEKOT").write_text(CANARY)
        await _bind(server, "there")
        await _is_taken(server, "a name that no variable has", GOOD)


# ---- in the database ---------------------------------------------------------------------


async def test_database(tmp_path: Path) -> None:
    """Our own rows: sealed for another place, with another key, or not at all."""
    async with running(sqlite_url(tmp_path), tmp_path / "k") as server:
        path = f"/api/admin/credentials/{KIND}/values"
        await server.ok("PUT", path, {"values": GOOD})
        assert (await _rotate(server))[0] == 200
        sealer = server.platform.sealer
        here = ValueScope(ORG, KIND).identity("TOKEN")
        for case, (sealed, reason) in {
            "moved": (sealer.seal(CANARY, "elsewhere"), "a stored value does not decrypt"),
            "garbage": (CANARY, "a stored value does not decrypt"),
            "empty": ("", "a stored value does not decrypt"),
            "NUL in a value": (sealer.seal(f"{CANARY}\0", here), NOT_TEXT),
            "too large": (
                sealer.seal(CANARY * (MIB // 16), here),
                f"more than {MIB} bytes",
            ),
        }.items():
            await _seal(server, sealed)
            await _is_refused(server, "database", case, reason)
        await _seal(server, sealer.seal("a\u202eb", here))
        await _is_taken(server, "bidi in a value", GOOD | {"TOKEN": "a\u202eb"})


async def _seal(server: Server, sealed: str) -> None:
    async with server.platform.store.write() as db:
        token = update(credential_values).where(credential_values.c.name == "TOKEN")
        await db.execute(token.values(sealed=sealed))
