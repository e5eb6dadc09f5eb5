"""`metrics`, and its error without a daemon."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.cli.main import main
from rensei_daemon.control_api.schema import METRICS, METRICS_JSON
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request, Text

TOLD = "# HELP a A “quoted” thing.\n# TYPE a gauge\na 1\n"


async def _text(_: Request) -> Text:
    return Text(TOLD, "text/plain; version=0.0.4; charset=utf-8")


async def _list(_: Request) -> list[str]:
    return ["a"]


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["metrics", *words])
    return int(ended.value.code or 0)


@pytest.fixture
def config() -> Iterator[Path]:
    """A config whose sockets have a short path."""
    with TemporaryDirectory() as place:
        (Path(place) / "run").mkdir()
        file = Path(place) / "config.toml"
        file.write_text('[paths]\nstate = "state"\nruntime = "run"\n')
        yield file


async def test_it_prints_what_the_daemon_serves(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text as it is; with --json a list."""
    routes = {METRICS: _text, METRICS_JSON: _list}
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            await tasks.start(serve_control, config.parent / "run/control.sock", routes)
            plain = await anyio.to_thread.run_sync(_run, "--config", str(config))
            printed = capsys.readouterr().out
            in_json = await anyio.to_thread.run_sync(
                _run, "--json", "--config", str(config)
            )
            tasks.cancel_scope.cancel()
    assert (plain, printed) == (0, TOLD)
    assert (in_json, json.loads(capsys.readouterr().out)) == (0, ["a"])


def test_without_a_daemon_it_says_how_to_start_one(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, as of every command."""
    assert _run("--config", str(config)) == 3
    what, todo = capsys.readouterr().err.splitlines()
    assert what.startswith("rensei-daemon: the daemon is not running")
    assert todo == f"  start it: rensei-daemon run --config {config}"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """As every command's has."""
    assert _run("--help") == 0
    assert "Example: rensei-daemon metrics" in capsys.readouterr().out
