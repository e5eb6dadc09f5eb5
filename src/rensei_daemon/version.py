"""The version of this program: the release, and for other builds its commit.

A wheel has its version in the file `BUILD`, written by `hatch_build.py`. In a checkout the
commit is read from `.git` directly: every command imports this module, and running git
would cost each of them some milliseconds.
"""

from pathlib import Path

RELEASE = "0.1.0"
BUILD = "BUILD"

_PACKAGE = Path(__file__).parent
_SHORT = 7
"""Characters of a commit, as git shows it."""


def version(package: Path = _PACKAGE) -> str:
    """Return the version of the package in this directory, such as 0.1.0+g0a8455b."""
    try:
        return (package / BUILD).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        commit = _commit(package.parents[1])
        return f"{RELEASE}+g{commit[:_SHORT]}" if commit else RELEASE


def difference(running: object) -> str | None:
    """Describe the running and the installed version; None if equal or unknown."""
    installed = version()
    if running in (installed, None):
        return None
    return f"version {running} runs, and {installed} is installed"


def _commit(checkout: Path) -> str | None:
    """Return the commit of a checkout; None without git, or before the first commit."""
    try:
        git = _git_directory(checkout / ".git")
        head = _line(git / "HEAD")
        if not head.startswith("ref: "):
            return head
        return _resolve(git, head.removeprefix("ref: "))
    except (OSError, UnicodeError):
        return None


def _git_directory(entry: Path) -> Path:
    """Return git's directory, which a worktree or a submodule names in the file `.git`."""
    if entry.is_dir():
        return entry
    return entry.parent / _line(entry).removeprefix("gitdir: ")


def _resolve(git: Path, ref: str) -> str | None:
    """Return the commit of a branch, from its own file or from `packed-refs`."""
    common = git / "commondir"
    shared = git / _line(common) if common.exists() else git
    if (shared / ref).exists():
        return _line(shared / ref)
    lines = (shared / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), None)


def _line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
