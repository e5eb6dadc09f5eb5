"""Plugins of pydantic: none of them sees an operator's settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
print("a plugin was let in")
class Plugin:
    def new_schema_validator(self, *args, **kwargs):
        return None, None, None
plugin = Plugin()
"""


def said(code: str, *, path: Path | str = "") -> str:
    """Return what a program prints that finds further packages in `path`."""
    environ = {**os.environ, "PYTHONPATH": str(path)}
    words = [sys.executable, "-c", code]
    return subprocess.run(
        words, env=environ, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.slow
def test_an_installed_plugin_of_pydantic_is_not_let_in(tmp_path: Path) -> None:
    """It would be handed every value that is validated; ours are not its business."""
    (tmp_path / "curious.py").write_text(PLUGIN)
    about = tmp_path / "curious-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: curious\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pydantic]\ncurious = curious:plugin\n")
    model = "from pydantic import BaseModel\nclass Model(BaseModel): pass"
    assert said(model, path=tmp_path) == "a plugin was let in\n"
    for ours in ("model", "loading", "model_errors"):
        assert said(f"import rensei_daemon.settings.{ours}", path=tmp_path) == ""


@pytest.mark.parametrize("given", [None, "some-plugin"])
def test_processes_we_start_may_have_plugins(given: str | None) -> None:
    """The variable that keeps them from us is as it was found."""
    name = "PYDANTIC_DISABLE_PLUGINS"
    code = (
        f"import os\nif {given!r}: os.environ[{name!r}] = {given!r}\n"
        f"import rensei_daemon.settings.loading\nprint(os.environ.get({name!r}))"
    )
    assert said(code) == f"{given}\n"
