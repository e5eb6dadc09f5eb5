"""The configuration in force: edits by hand, good and bad, and the last good text."""

import grp
import os
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import pytest
from deadlines import HANG_SECONDS
from valid_texts import dying_validator

from rensei_daemon.core.document import Document
from rensei_daemon.errors import SettingsError, UncheckedError
from rensei_daemon.settings.values import Settings
from rensei_daemon.tasks.reload import reload

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ALONE = ("heartbeat", "mutations", "sessions", "runtime token")
SESSION = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""
QUIET = '[log]\nlevel = "error"\n'


async def _in_force(daemon: "Running", level: str) -> None:
    await daemon.until(lambda: daemon.configuration.settings.log.level == level)


async def test_an_edit_takes_effect_by_itself(home: "Home") -> None:
    """Saved in place or by rename, an edit is in force within two seconds."""
    async with home.daemon(without=ALONE) as daemon:
        assert daemon.configuration.settings.log.level == "info"
        home.write(QUIET)
        await _in_force(daemon, "error")
        draft = home.config.with_suffix(".draft")
        draft.write_text(home.base)
        draft.replace(home.config)
        await _in_force(daemon, "info")
        assert daemon.board.config.digest == daemon.configuration.document.digest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", ":1:1: the file is empty (write it again, or begin with "),
        (b"\n# all gone\n", ":1:1: the file is empty"),
        (b"[log\n", ":1:5: "),
        (b"[log]\nlevle = 'info'\n", ":2:1: "),
        (b"[log]\nlevel = '\xff'\n", ":2:10: not UTF-8"),
    ],
)
async def test_a_text_that_cannot_be_used_changes_nothing(
    home: "Home", text: bytes, complaint: str
) -> None:
    """The last good text stays in force, the position is shown, a fix clears it."""
    home.write(QUIET)
    async with home.daemon(without=ALONE) as daemon:
        home.config.write_bytes(text)
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        assert complaint in daemon.conditions["config.invalid"].message
        assert daemon.configuration.settings.log.level == "error"
        home.write(QUIET)
        await daemon.until(lambda: not daemon.conditions)
        assert daemon.board.config.valid


@pytest.mark.parametrize("text", ["", "# nothing\n", "[log]\nlevel = 'loud'\n"])
async def test_without_a_last_good_text_there_is_no_start(home: "Home", text: str) -> None:
    """The file's own error is raised."""
    home.config.write_text(text)
    with pytest.raises(SettingsError):
        async with home.daemon():
            pass


async def test_a_file_that_is_still_being_written_is_left_alone(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that an editor has open for writing is not read yet."""
    looks, looked_twice = list[bool](), anyio.Event()
    async with home.daemon(without=ALONE) as daemon:
        file = daemon.configuration.file
        look = file.is_being_written

        def look_and_tell() -> bool:
            looks.append(look())
            if looks.count(True) == 2:
                anyio.from_thread.run_sync(looked_twice.set)
            return looks[-1]

        monkeypatch.setattr(file, "is_being_written", look_and_tell)
        with home.config.open("w") as editor:
            editor.write(home.base + "[log")
            editor.flush()
            with anyio.fail_after(HANG_SECONDS):
                await looked_twice.wait()
            assert not daemon.conditions
            editor.write("]\nlevel = 'warning'\n")
        await _in_force(daemon, "warning")
        assert not daemon.conditions


async def test_a_validation_that_died_is_tried_again(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good text stays, the board says why, and the file needs no other edit."""
    monkeypatch.setattr("rensei_daemon.tasks.reload.UNCHECKED_SECONDS", 0.05)
    async with home.daemon(without=ALONE) as daemon:
        validator = daemon.configuration._validator
        daemon.configuration._validator = dying_validator(home.locations)
        home.write(QUIET)
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        condition = daemon.conditions["config.invalid"]
        why = "the configuration could not be checked: its process ended with SIGKILL"
        assert condition.message == f"{why}; the last good text stays in force"
        assert condition.hint.startswith(UncheckedError.default_hint)
        assert daemon.configuration.settings.log.level == "info"
        daemon.configuration._validator = validator
        await _in_force(daemon, "error")
        assert not daemon.conditions


async def test_a_start_without_a_validation_is_no_error_of_the_file(home: "Home") -> None:
    """It can be tried again; with a last good text, that is not used for want of a key."""
    with pytest.raises(UncheckedError) as caught:
        async with home.daemon(validator=dying_validator(home.locations)):
            pass
    assert caught.value.exit_code == 1


async def test_a_chmod_is_noticed(home: "Home") -> None:
    """A file made readable again has the same text and the same modification time."""
    file = home.config.stat()
    async with home.daemon(without=ALONE) as daemon:
        before = daemon.configuration.file.stamp()
        home.config.chmod(0o640)
        os.utime(home.config, ns=(file.st_atime_ns, file.st_mtime_ns))
        assert daemon.configuration.file.stamp() != before


async def test_a_reload_says_what_it_brought(home: "Home") -> None:
    """It names keys in effect, and keys that wait for a restart, as a condition."""
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        group = grp.getgrgid(os.getgid()).gr_name
        home.write(f"{QUIET}[control]\ngroup = '{group}'\n[mutations]\nallow = []\n")
        done = await reload(daemon.configuration, daemon.board)
        assert set(done.applied) == {"log.level", "mutations.allow"}
        assert done.needs_restart == ("control.group",)
        message = daemon.conditions["config.restart_needed"].message
        assert message == "control.group changed, which takes effect at the next start"
        again = await reload(daemon.configuration, daemon.board)
        assert (again.applied, again.needs_restart) == ((), ("control.group",))
        home.write()
        back = await reload(daemon.configuration, daemon.board)
        assert set(back.applied) == {"log.level", "mutations.allow"}
        assert back.needs_restart == ()
        assert not daemon.conditions
        assert (await reload(daemon.configuration, daemon.board)).applied == ()


async def test_a_reload_of_a_bad_file_says_so(home: "Home") -> None:
    """The caller gets the error, and the board shows it."""
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        home.config.write_text("[")
        with pytest.raises(SettingsError, match=r"config\.toml:1:2: "):
            await reload(daemon.configuration, daemon.board)
        assert "config.invalid" in daemon.conditions


def _hardly_ever(low: float, high: float) -> float:
    """Draw retries and intervals that no test waits for."""
    return 1000.0


@pytest.mark.parametrize("refused", ["/api/workers/", "/api/daemon/"])
async def test_a_new_key_is_used_at_once(home: "Home", refused: str) -> None:
    """Heartbeats and sessions that were refused do not wait for their next retry."""
    home.write(SESSION)
    home.platform.set_credential("github", "TOKEN", "one")
    for method in ("GET", "POST"):
        home.platform.faults.add(method, refused, status=401, times=1_000_000)
    async with home.daemon(draw=_hardly_ever) as daemon:
        await daemon.until(lambda: "unauthorized" in daemon.conditions)
        await daemon.until(lambda: daemon.session.snapshot_failure)
        if refused == "/api/daemon/":
            await daemon.until(lambda: daemon.board.heartbeat.last_ok_at)
        home.platform.faults.clear()
        home.write_key(home.platform.add_key())
        assert "the API key" in (await daemon.reload()).applied
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at and home.env())


async def test_listeners_hear_of_news_only(home: "Home") -> None:
    """Once after a change, once after a fix, never for the same text."""
    heard: list[str] = []
    async with home.daemon(without=(*ALONE, "configuration")) as daemon:
        configuration = daemon.configuration
        configuration.on_change(lambda: heard.append(configuration.settings.log.level))
        for text in (home.base, home.base + QUIET, "[", home.base + QUIET):
            home.config.write_text(text)
            if text == "[":
                with pytest.raises(SettingsError):
                    await reload(configuration, daemon.board)
            else:
                await reload(configuration, daemon.board)
    assert heard == ["error", "error"]


async def test_a_text_in_force_is_not_checked_again(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutation does not validate it; a reload does, since a group may be missing."""
    async with home.daemon(without=ALONE) as daemon:
        configuration, loaded = daemon.configuration, list[str]()
        validator = configuration._validator

        class Telling:
            accept = validator.accept

            def load(self, document: Document, **options: Any) -> Settings:
                loaded.append(document.text)
                return validator.load(document, **options)

        monkeypatch.setattr(configuration, "_validator", Telling())
        text, in_force = configuration.document.text, configuration.in_force
        assert configuration.read() is in_force
        assert loaded == []
        assert configuration.read_anew() == in_force
        configuration.file.path.write_text(text + "# by hand\n")
        assert configuration.read().settings == in_force.settings
        assert loaded == [text, text + "# by hand\n"]
