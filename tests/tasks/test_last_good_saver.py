"""What a start falls back to: the text that was in force, with the key it ran with."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.document import Document
from rensei_daemon.errors import SettingsError
from rensei_daemon.tasks.reload import reload

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ALONE = ("heartbeat", "mutations", "sessions", "runtime token")
QUIET = '[log]\nlevel = "error"\n'
OTHER_KEY = "rsk_live_" + "decade" * 10 + "beef"


async def _kept(home: "Home", text: str, key: str) -> None:
    """Wait until this is what the next start would fall back to."""
    with anyio.fail_after(HANG_SECONDS):
        while not home.last_good.ran_with(Document(text), key):
            await anyio.wait_all_tasks_blocked()
    assert home.last_good.read() == Document(text)


async def _was_in_force(home: "Home") -> None:
    """Have a daemon run with what there is, and end."""
    async with home.daemon(without=ALONE):
        await _kept(home, home.config.read_text(), home.key)


async def test_what_is_in_force_is_kept(home: "Home") -> None:
    """The first text and each later one are saved, private and without the key."""
    async with home.daemon(without=ALONE):
        await _kept(home, home.base, home.key)
        home.write(QUIET)
        await _kept(home, home.base + QUIET, home.key)
    kept = sorted(home.state.glob("config.last-good*"))
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600, 0o600]
    assert all(home.key not in path.read_text() for path in kept)


@pytest.mark.parametrize("damage", ["empty", "broken", "gone", "directory", "not UTF-8"])
async def test_it_survives_a_restart(home: "Home", damage: str) -> None:
    """Whatever happened to the file, the daemon starts with the saved text."""
    home.write(QUIET)
    await _was_in_force(home)
    home.config.unlink()
    if damage == "directory":
        home.config.mkdir()
    elif damage != "gone":
        texts = {"empty": b"", "broken": b"[", "not UTF-8": b"\xff"}
        home.config.write_bytes(texts[damage])
    async with home.daemon(without=ALONE) as daemon:
        assert daemon.configuration.settings.log.level == "error"
        assert "config.invalid" in daemon.conditions


def _another_key(home: "Home") -> None:
    home.write_key(OTHER_KEY)


def _no_key(home: "Home") -> None:
    home.key_file.unlink()


def _another_text(home: "Home") -> None:
    """Cut short between the two files, or meddled with."""
    home.last_good.path.write_text(home.base.replace("127.0.0.1", "localhost"))


def _another_machine(home: "Home") -> None:
    fingerprint = home.state / "config.last-good.fingerprint"
    home.last_good.save(Document(home.base), home.key)
    fingerprint.write_text(fingerprint.read_text()[::-1])


def _none(home: "Home") -> None:
    (home.state / "config.last-good.fingerprint").unlink()


@pytest.mark.parametrize(
    "change", [_another_key, _no_key, _another_text, _another_machine, _none]
)
async def test_it_serves_with_its_own_key_alone(
    home: "Home", change: Callable[["Home"], None]
) -> None:
    """With any other key the start fails with the file's own error."""
    await _was_in_force(home)
    home.config.write_text("[platform]\nurl = \n")
    change(home)
    asked = home.platform.log.counts.total()
    with pytest.raises(SettingsError, match=r"config\.toml:2:7: "):
        async with home.daemon():
            pass
    assert home.platform.log.counts.total() == asked


async def test_a_file_that_was_never_in_force_is_not_kept(home: "Home") -> None:
    """A start that fails keeps what was saved before."""
    await _was_in_force(home)
    before = home.config.read_text()
    home.write_key("canary-not-a-key")
    home.write(QUIET)
    with pytest.raises(SettingsError):
        async with home.daemon():
            pass
    assert home.last_good.ran_with(Document(before), home.key)


async def test_a_new_key_is_kept_with_the_text(home: "Home") -> None:
    """The next start has the new key."""
    async with home.daemon(without=ALONE) as daemon:
        await _kept(home, home.base, home.key)
        home.write_key(OTHER_KEY)
        assert await daemon.identity.key.reread()
        await _kept(home, home.base, OTHER_KEY)


def _elsewhere(home: "Home") -> str:
    return home.base.replace(home.platform.url, "https://elsewhere.example")


def _half_elsewhere(home: "Home") -> str:
    return _elsewhere(home) + "[log\n"


def _nowhere(home: "Home") -> str:
    return "[log\n"


@pytest.mark.parametrize("text", [_elsewhere, _half_elsewhere, _nowhere])
@pytest.mark.parametrize("is_reloaded", [True, False])
async def test_a_new_key_goes_to_no_platform_that_was_configured_away(
    home: "Home", text: Callable[["Home"], str], is_reloaded: bool
) -> None:
    """A new url and its key wait for a restart, even if the file is broken."""
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        await _kept(home, home.base, home.key)
        home.config.write_text(text(home))
        home.write_key(OTHER_KEY)
        if is_reloaded:
            await _reload(daemon)
        with pytest.raises(SettingsError, match="no new API key is taken up") as caught:
            await daemon.identity.key.reread()
        assert caught.value.hint == "systemctl restart rensei-daemon"
        assert daemon.identity.key.value == home.key
        home.write_key(home.key)
        assert not await daemon.identity.key.reread()
    assert home.last_good.ran_with(Document(home.base), home.key)


async def _reload(daemon: "Running") -> None:
    with suppress(SettingsError):
        await reload(daemon.configuration, daemon.board)


async def test_a_file_that_cannot_be_read_takes_no_new_key(home: "Home") -> None:
    """The platform that the operator has chosen is unknown then."""
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        home.config.unlink()
        home.write_key(OTHER_KEY)
        with pytest.raises(SettingsError, match="there is no such file"):
            await daemon.identity.key.reread()
        assert daemon.identity.key.value == home.key


async def test_a_broken_file_that_names_the_platform_in_force_takes_a_new_key(
    home: "Home",
) -> None:
    """A key may have to be replaced while the file is broken."""
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        home.config.write_text(f"{home.base}[log\n")
        home.write_key(OTHER_KEY)
        assert await daemon.identity.key.reread()
        assert daemon.identity.key.value == OTHER_KEY
