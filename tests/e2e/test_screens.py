"""Every screen, with characters in it that nobody can see."""

import io
import json
import re
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import click
import pytest
from rig.host import NAME, Host, open_host

from rensei_daemon.cli.completion import mutation_ids
from rensei_daemon.cli.main import main
from rensei_daemon.core.toml_rendering import render_key

pytestmark = pytest.mark.slow

HIDDEN = "\x07\x1b[2J\x7f\x85\x9b31m\u200b\u2028\u202e\u2066\u3164\ufeff\U000e0041"
NASTY = f"x{HIDDEN}\ud800y"
LONGEST = "l" * 10_000
LONG = f"{HIDDEN}{LONGEST}"
KEPT = f"k{HIDDEN}y"
"""What can stand in a file, which holds no half of a character."""
ID = f"dmut{HIDDEN}"
RAW = {chr(code) for code in (*range(32), *range(127, 160))} - {"\n", "\t"}
RAW |= set("\u200b\u2028\u202e\u2066\u3164\ufeff\U000e0041")
"""What no screen may hold."""
COLOUR = re.compile(r"\x1b\[(?:0|1|2|31|32|33|1;3[017](?:;4[0-7])?)m")
"""The colours of our own."""
WAITING = re.compile(r"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)|\r\x1b\[K")
"""The line of a command that waits longer than a second, and what removes it."""
COMMENTED = "\x9b31m\u202e\u2028"
"""What TOML allows in a comment."""
BODY = f"# by hand {COMMENTED}\n[projects]\nproj_a = {{ repositories = [] }}\n"

ACCESS = ("access", "check", "--ceiling", KEPT)
SCREENS = (
    ("status",),
    ("logs", "-n", "1000"),
    ("mutations", "list"),
    ("mutations", "list", "--before", "dmut_pool"),
    ("mutations", "list", "--remote"),
    ("mutations", "show", ID),
    ("mutations", "show", KEPT),
    ("mutations", "show", "dmut_op"),
    ("mutations", "show", "dmut_params"),
    ("mutations", "show", "dmut_long"),
    ("mutations", "show", "dmut_added"),
    ("mutations", "show", "dmut_pool"),
    ("mutations", "show", "dmut_access"),
    ("mutations", "preview", "project.remove", f"id={KEPT}"),
    ("mutations", "preview", "project.add", "id=proj_c", f"repository=https://g/{KEPT}"),
    ("mutations", "preview", KEPT, "id=proj_c"),
    ("mutations", "preview", "project.disable", "id=proj_b"),
    ("mutations", "enqueue", KEPT, f"{KEPT}=1"),
    ("mutations", "cancel", KEPT),
    ("config", "show"),
    ("config", "check"),
    ("config", "history"),
    ("config", "blame"),
    ("config", "diff"),
    ("config", "diff", "1"),
    ("config", "diff", "2"),
    ("config", "rollback", "1", "--dry-run"),
    (*ACCESS, "--company", KEPT, "--model", KEPT, "--auth-mode", KEPT),
    ("credentials", "list"),
    ("sync",),
    ("reload",),
    ("metrics",),
    (KEPT,),
    ("status", f"--{KEPT}"),
)


SILENT = (
    ("mutations", "preview", "project.remove", f"id={KEPT}"),
    ("mutations", "cancel", KEPT),
    ("config", "check"),
    ("credentials", "list"),
    ("sync",),
    ("reload",),
    ("metrics",),
)
"""Screens without such text."""


class Screen(io.TextIOWrapper):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def planted() -> Mapping[str, tuple[str, Any, str]]:
    """Return mutations (op, params, requester) by id, with such text in every field."""
    byok = {"byok": {"allowed": True, "host": KEPT, "model": KEPT, KEPT: 1}}
    policy = {"policy": {"authOrder": ["byok"], "matrix": {KEPT: byok}, KEPT: 1}}
    return {
        ID: ("project.remove", {"id": "proj_a"}, KEPT),
        "dmut_op": (KEPT, {KEPT: KEPT}, KEPT),
        "dmut_params": ("project.remove", {"id": KEPT}, KEPT),
        "dmut_long": ("project.add", {"id": "p", "repository": LONG}, LONG),
        "dmut_added": (
            "project.add",
            {"id": "proj_b", "repository": f"https://g/{KEPT}"},
            KEPT,
        ),
        "dmut_access": ("modelAccess.set", policy, KEPT),
        "dmut_pool": (
            "pool.deleted",
            {"poolId": "pool_a", "candidatePoolIds": [KEPT], "reason": LONG},
            KEPT,
        ),
    }


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """A running daemon that has answered all of it."""
    async with open_host(tmp_path, body=BODY, forks=True) as host:
        host.environ["RENSEI_DAEMON_LOG__FILE"] = str(host.state / "log.jsonl")
        rows = host.platform.rows
        host.environ["RENSEI_DAEMON_PLATFORM__WORKER_HOST_ID"] = rows.host(NAME).id
        await host.start()
        made = [
            rows.add_mutation(NAME, op, params, mutation_id=id_, requested_by=who)
            for id_, (op, params, who) in planted().items()
        ]
        # No database keeps all of NASTY, but another platform may send it.
        brought = {"id": "dmut_nasty", "op": NASTY, "params": {NASTY: NASTY}}
        brought |= {"requestedAt": NASTY, "requestedBy": NASTY}
        status = {"status": NASTY, "recommendedAction": NASTY, "candidatePoolIds": [NASTY]}
        answer = {"acknowledged": True, "pendingMutations": [brought], "hostStatus": status}
        host.platform.faults.add("POST", "/api/workers/wkr_", status=200, body=answer)
        await host.settled(made)
        await host.until(lambda s: any(c["code"] == "host.status" for c in s["conditions"]))
        for name, value in host.variables().items():
            monkeypatch.setenv(name, value)
        yield host


def _look(words: tuple[str, ...], *, terminal: bool = False) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and both outputs."""
    kind = Screen if terminal else io.TextIOWrapper
    streams = [kind(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2)]
    usual = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    try:
        with pytest.raises(SystemExit) as exited:
            main(words)
    finally:
        sys.stdout, sys.stderr = usual
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    return int(exited.value.code or 0), out, err


def _raw(text: str) -> set[str]:
    return RAW & set(COLOUR.sub("", WAITING.sub("", text)))


async def _text(*words: str) -> tuple[str, str]:
    _, out, err = await anyio.to_thread.run_sync(lambda: _look(words))
    return out, err


async def _check(words: tuple[str, ...]) -> str:
    """Look at a screen on a terminal, as JSON and through a pipe; return the last one."""
    code, out, err = await anyio.to_thread.run_sync(lambda: _look((*words, "--json")))
    assert (_raw(out), _raw(err)) == (set(), set()), words
    assert out.isascii(), words
    if code == 0 and words[0] == "logs":
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    elif out:
        json.loads(out)
    for terminal in (True, False):
        look = partial(_look, words, terminal=terminal)
        code, out, err = await anyio.to_thread.run_sync(look)
        assert (_raw(out), _raw(err)) == (set(), set()), (words, terminal)
        assert (LONGEST in out) <= (not terminal), words
        assert "internal error" not in err, (words, err)
    return f"{out}{err}"


async def test_no_screen_shows_a_character_that_nobody_can_see(host: Host) -> None:
    """Every command escapes it, with a daemon and without."""
    for words in SCREENS:
        shown = await _check(words)
        assert ("\\u202e" in shown.lower()) == (words not in SILENT), words
    for options in ((), ("--json",)):
        # It ends its process itself.
        _, out, err = await host.command("doctor", *options)
        assert (_raw(out), _raw(err)) == (set(), set())
    await host.end(signal.SIGTERM)
    for words in SCREENS:
        await _check(words)
    out, _ = await _text("mutations", "show", ID)
    assert "\\u202e" in out
    assert _raw((host.directory / "stderr").read_text()) == set()
    assert (host.state / "log.jsonl").read_text().isascii()


async def test_the_file_and_a_pipe_have_all_of_it(host: Host) -> None:
    """What a mutation wrote is escaped and reads back; a long text is not cut."""
    text = host.config.read_text()
    by_hand, written = text.split("[projects]", 1)
    assert COMMENTED in by_hand
    assert _raw(written) == set()
    tree = tomllib.loads(text)
    assert tree["projects"]["proj_b"]["repositories"] == [f"https://g/{KEPT}"]
    assert KEPT in tree["model_access"]["default"]["matrix"]
    assert tree["pool"]["candidates"] == [KEPT]
    assert tree["pool"]["reason"] == LONG
    show = ("mutations", "show", "dmut_pool")
    for words in (show, ("config", "show"), ("config", "diff")):
        out, _ = await _text(*words)
        assert LONGEST in out, words
    out, _ = await _text(*show, "--json")
    assert json.loads(out)["mutation"]["params"]["reason"] == LONG


async def test_a_shell_is_offered_nothing_that_nobody_can_see(host: Host) -> None:
    """Such an id is not completed; what is said of another one is escaped."""
    context = click.Context(click.Command("show"))
    items = await anyio.to_thread.run_sync(
        lambda: mutation_ids(context, click.Option(["--id"]), "dmut")
    )
    told = {item.value: item.help or "" for item in items}
    assert ID not in told
    assert "\\u202e" in told["dmut_op"]
    assert _raw("".join(told.values())) == set()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("logs", "--file"), f"{KEPT}{LONGEST}\n"),
        (("logs", "--file"), json.dumps({"event": "e", KEPT: f"{KEPT}{LONGEST}"}) + "\n"),
        (("config", "check"), f"{render_key((KEPT,))} = 1\n"),
        (("access", "check", "--batch"), json.dumps({"platformAllowed": [KEPT]}) + "\n"),
    ],
)
def test_a_file_of_somebody_else_shows_what_is_in_it(
    words: tuple[str, ...], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its characters that nobody can see are escaped; a terminal gets no long text."""
    file = tmp_path / "other"
    file.write_text(text)
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setenv("RENSEI_DAEMON_CONFIG", str(tmp_path / "config.toml"))
    for terminal in (True, False):
        _, out, err = _look((*words, str(file)), terminal=terminal)
        assert "\\u202e" in f"{out}{err}".lower()
        assert (_raw(out), _raw(err)) == (set(), set())
        assert (LONGEST in out) == (LONGEST in text and not terminal)
