"""What the build adds: the version with its commit, as metadata and as the file BUILD.

The program itself reads a checkout's commit without running git (see version.py). Here
git is asked as well, whether this commit is the release and whether files were changed.
"""

import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_MODULE = Path("src/rensei_daemon/version.py")


class VersionMetadata(MetadataHookInterface):
    """Gives the distribution its version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what pyproject.toml calls dynamic."""
        metadata["version"] = _version(Path(self.root))


class VersionFile(BuildHookInterface[Any]):
    """Puts the version into what is built; an editable checkout is read as it stands."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file; the sdist keeps it where the next build looks for it."""
        if version == "editable":
            return
        self._built = Path(tempfile.mkdtemp()) / "BUILD"
        self._built.write_text(_version(Path(self.root)) + "\n", encoding="ascii")
        top = "src/" if self.target_name == "sdist" else ""
        build_data["force_include"][str(self._built)] = f"{top}rensei_daemon/BUILD"

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove the file that was added."""
        if version != "editable":
            shutil.rmtree(self._built.parent)


def _version(root: Path) -> str:
    module = runpy.run_path(str(root / _MODULE))
    if (root / _MODULE).with_name(module["BUILD"]).exists():
        return str(module["version"]())  # an sdist
    here = str(module["version"]())
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        return f"{here}.dirty"
    tag, release = f"v{module['RELEASE']}", str(module["RELEASE"])
    tagged = _git(root, "describe", "--tags", "--exact-match", f"--match={tag}")
    return release if tagged == tag else here


def _git(root: Path, *words: str) -> str:
    """Return what git says; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours
            ["git", "-C", str(root), *words],  # noqa: S607 - whichever git there is
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
