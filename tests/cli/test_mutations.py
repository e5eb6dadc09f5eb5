"""`mutations` and `credentials rotate` from the shell's side."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from platform_thread import PlatformThread, running_platform

from rensei_daemon.cli.main import main
from rensei_daemon.cli.rotate_credential import rotate
from rensei_daemon.errors import NotPermittedError, RenseiError, UsageError

CONFIG = """\
[platform]
url = "{url}"
[mutations]
protected_projects = ["proj_a"]
[projects]
proj_a = {{ repositories = [] }} # mine
"""


def _point_to(url: str, config: Path) -> None:
    config.write_text(CONFIG.format(url=url))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's configuration file; no platform is there."""
    path = tmp_path / "config.toml"
    _point_to("http://127.0.0.1:9", path)
    monkeypatch.setenv("RENSEI_DAEMON_CONFIG", str(path))
    monkeypatch.setenv("RENSEI_DAEMON_PATHS__STATE", str(tmp_path / "state"))
    monkeypatch.setenv("RENSEI_DAEMON_PATHS__RUNTIME", str(tmp_path / "run"))
    return path


@pytest.fixture
async def platform(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PlatformThread]:
    """A platform with the host `host_1`, and an admin's key in the environment."""
    with running_platform() as platform:
        _point_to(platform.url, config)
        platform.add_host("build-1", host_id="host_1")
        monkeypatch.setenv("RENSEI_API_KEY", platform.add_key())
        yield platform


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    return exited.value.code if isinstance(exited.value.code, int) else 0


async def _aside(*arguments: str) -> int:
    """Run a command while the platform goes on."""
    return await anyio.to_thread.run_sync(lambda: _run(*arguments))


def test_a_preview_shows_the_diff_and_touches_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The diff on today's file is printed; file and directory stay as they are."""
    before = config.read_bytes(), sorted(config.parent.iterdir())
    words = ("project.add", "id=proj_b", "repository=https://g/b")
    assert _run("mutations", "preview", *words) == 0
    assert capsys.readouterr().out == (
        "--- config.toml (before)\n+++ config.toml (after)\n@@ -4,3 +4,4 @@\n"
        ' protected_projects = ["proj_a"]\n [projects]\n'
        " proj_a = { repositories = [] } # mine\n"
        '+proj_b = { repositories = ["https://g/b"] }\n'
    )
    assert (config.read_bytes(), sorted(config.parent.iterdir())) == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("project.add", "id=x"), "project.add requires id + repository"),
        (("session.kill",), 'unsupported mutation op "session.kill" (upgrade daemon?)'),
        (
            ("project.remove", "id=proj_a"),
            'project "proj_a" is protected on this host '
            "(mutations.protected_projects in its config.toml)",
        ),
    ],
)
def test_a_preview_fails_in_the_words_the_mutation_would(
    config: Path,
    arguments: tuple[str, ...],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Params, op and guards answer as they would to the platform, with exit code 1."""
    assert _run("mutations", "preview", *arguments) == 1
    what, hint = capsys.readouterr().err.splitlines()
    assert what == f"rensei-daemon: {text}"
    assert hint.startswith("  see what may be asked for: rensei-daemon mutations ops")
    assert _run(*hint.split("rensei-daemon ")[1].split()) == 0
    capsys.readouterr()
    assert _run("mutations", "preview", *arguments, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["outcome"], answer["error"]) == ("failed", text)


def test_a_preview_of_what_holds_already_says_so(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A no-op is a success."""
    assert _run("mutations", "preview", "project.enable", "id=proj_a") == 0
    assert capsys.readouterr().out == "nothing would change: all of it holds already\n"


def test_the_key_is_shown_to_no_platform_that_nobody_chose(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without platform.url asks for it."""
    monkeypatch.setenv("RENSEI_API_KEY", "rsk_live_canary")
    config.write_text("[projects]\n")
    assert _run("mutations", "list", "--remote", "--host", "host_1") == 78
    assert "platform.url is not set" in capsys.readouterr().err


async def test_an_operator_enqueues_lists_and_cancels(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """A requested mutation is in the platform's list until it is cancelled."""
    words = ("project.remove", "id=proj_b", "--host", "host_1", "--json")
    assert await _aside("mutations", "enqueue", *words) == 0
    made = json.loads(capsys.readouterr().out)["mutation"]
    assert (made["op"], made["params"]) == ("project.remove", {"id": "proj_b"})
    assert await _aside("mutations", "list", "--remote", "--host", "host_1") == 0
    assert capsys.readouterr().out.split("\t")[:3] == [
        made["id"],
        "project.remove",
        "pending",
    ]
    assert await _aside("mutations", "cancel", made["id"]) == 0
    assert capsys.readouterr().out == f"{made['id']} is cancelled\n"
    assert platform.rows.mutations()[0].status == "cancelled"


async def test_a_mutation_that_was_picked_up_cannot_be_cancelled(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and the hint says how to undo it."""
    made = platform.enqueue("build-1", "project.remove", id="b")
    platform.rows.mark_delivered(made)
    assert await _aside("mutations", "cancel", made.id) == 1
    assert "undo it with the inverse op" in capsys.readouterr().err


async def test_refusals_have_the_exit_codes_of_whoever_must_act(
    platform: PlatformThread,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No host: 64; unknown: 1; role or key refused: 77; no key: 78; no platform: 69."""
    enqueue = ("mutations", "enqueue", "project.remove", "id=x")
    assert await _aside(*enqueue) == 64
    assert await _aside("mutations", "cancel", "dmut_nope") == 1
    monkeypatch.setenv("RENSEI_API_KEY", platform.add_key("member", owner="bob@acme.test"))
    assert await _aside(*enqueue, "--host", "host_1") == 77
    wrong = "rsk_live_" + "0" * 64
    monkeypatch.setenv("RENSEI_API_KEY", wrong)
    assert await _aside(*enqueue, "--host", "host_1") == 77
    assert wrong not in "".join(capsys.readouterr())
    monkeypatch.delenv("RENSEI_API_KEY")
    assert await _aside(*enqueue, "--host", "host_1") == 78
    monkeypatch.setenv("RENSEI_API_KEY", wrong)
    _point_to("http://127.0.0.1:9", config)
    assert await _aside(*enqueue, "--host", "host_1") == 69


def _rotate(*arguments: str) -> None:
    rotate.main(list(arguments), standalone_mode=False)


async def test_a_credential_is_rotated_for_the_organisation(
    platform: PlatformThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """The platform gets one request, and its answer has the number of sessions."""
    platform.set_credential("anthropic", "KEY", "v")
    words = ("anthropic", "--org", "org_acme")
    await anyio.to_thread.run_sync(lambda: _rotate(*words))
    assert capsys.readouterr().out == "rotated anthropic: sent to 0 sessions\n"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("anthropic",), UsageError),
        (("nope", "--org", "org_acme"), RenseiError),
        (("anthropic", "--org", "org_other"), NotPermittedError),
    ],
)
async def test_a_rotation_is_refused_in_words(
    platform: PlatformThread, arguments: tuple[str, ...], kind: type[RenseiError]
) -> None:
    """No organisation known, no such kind, another's organisation: each its own error."""
    refused: Any = None
    try:
        await anyio.to_thread.run_sync(lambda: _rotate(*arguments))
    except RenseiError as error:
        refused = error
    assert type(refused) is kind


@pytest.mark.parametrize("text", ["", "x" * 257, "x" * 100_000])
def test_what_is_no_id_of_a_mutation_is_a_usage_error(
    config: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names no daemon of another version, and no limit of a protocol."""
    assert _run("mutations", "show", text) == 64
    what, hint = capsys.readouterr().err.splitlines()
    assert what == f"rensei-daemon: {text[:256]!r} is no id of a mutation"
    assert hint.startswith("  see which there are: rensei-daemon mutations list")


def test_without_daemon_and_journal_there_is_nothing_to_list(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 and how to start the daemon."""
    assert _run("mutations", "list") == 3
    assert "the daemon is not running" in capsys.readouterr().err
