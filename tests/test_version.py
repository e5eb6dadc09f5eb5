"""The version of a build."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.version import RELEASE, difference, version

CHECKOUT = Path(__file__).parents[1]
BUILD = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
INCLUDED = BUILD["targets"]["wheel"]["force-include"]
COMMIT = "0a8455bdeadbeef00000000000000000deadbeef"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with a package in it, and git's directory beside."""
    (tmp_path / "src/package").mkdir(parents=True)
    (tmp_path / ".git/refs/heads").mkdir(parents=True)
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path


def seen(checkout: Path) -> str:
    """Return the version of the package in a checkout."""
    return version(checkout / "src/package")


def test_a_branch_with_a_file_of_its_own(checkout: Path) -> None:
    """The commit is that of the branch."""
    (checkout / ".git/refs/heads/main").write_text(f"{COMMIT}\n")
    assert seen(checkout) == f"{RELEASE}+g0a8455b"


def test_a_branch_that_git_has_packed(checkout: Path) -> None:
    """Its line is found, and no line of a branch with the same ending."""
    packed = f"# pack-refs\n{'1' * 40} refs/heads/not/refs/heads/main2\n"
    packed += f"{COMMIT} refs/heads/main\n^{'2' * 40}\n"
    (checkout / ".git/packed-refs").write_text(packed)
    assert seen(checkout) == f"{RELEASE}+g0a8455b"


def test_a_commit_without_a_branch(checkout: Path) -> None:
    """A detached HEAD names the commit."""
    (checkout / ".git/HEAD").write_text(f"{COMMIT}\n")
    assert seen(checkout) == f"{RELEASE}+g0a8455b"


def test_a_worktree(checkout: Path) -> None:
    """`.git` is a file; HEAD is the worktree's, the branches are the repository's."""
    other = checkout / "elsewhere"
    (other / "src/package").mkdir(parents=True)
    own = checkout / ".git/worktrees/elsewhere"
    own.mkdir(parents=True)
    (other / ".git").write_text(f"gitdir: {own}\n")
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (checkout / ".git/refs/heads/side").write_text(f"{COMMIT}\n")
    assert seen(other) == f"{RELEASE}+g0a8455b"


@pytest.mark.parametrize("head", [None, "ref: refs/heads/main\n", "\xff"])
def test_no_commit_is_no_error(checkout: Path, head: str | None) -> None:
    """Without git, before the first commit, or with garbage: only the release."""
    (checkout / ".git/HEAD").unlink()
    if head is not None:
        (checkout / ".git/HEAD").write_text(head, encoding="latin-1")
    assert seen(checkout) == RELEASE


def test_what_was_built_says_so_itself(checkout: Path) -> None:
    """The file of the build takes precedence over git."""
    (checkout / ".git/refs/heads/main").write_text(f"{COMMIT}\n")
    (checkout / "src/package/BUILD").write_text("0.2.0+g1234567\n")
    assert seen(checkout) == "0.2.0+g1234567"


def test_a_difference_is_told_in_both_versions() -> None:
    """An equal or unknown version is no difference."""
    assert difference(version()) is None
    assert difference(None) is None
    assert difference("0.0.9") == f"version 0.0.9 runs, and {version()} is installed"


def git(repository: Path, *words: str) -> None:
    """Run git there, with a fixed author."""
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(repository), *who, *words], check=True)


def built(repository: Path) -> tuple[str, str]:
    """Build a wheel, and return the version in its name and the one in its file."""
    target = repository / "dist"
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(
        [sys.executable, *words], cwd=repository, check=True, timeout=HANG_SECONDS
    )
    [wheel] = target.glob("*.whl")
    said = zipfile.ZipFile(wheel).read("rensei_daemon/BUILD").decode()
    named = wheel.name.split("-")[1]
    wheel.unlink()
    return named, said.strip()


@pytest.mark.needs("git")
@pytest.mark.slow
def test_a_wheel_says_which_commit_it_is_of(tmp_path: Path) -> None:
    """At the tag it is the release; before it, or with changes, it is not."""
    for name in ("hatch_build.py", "pyproject.toml", "src/rensei_daemon/version.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((CHECKOUT / name).read_text())
    for name in ("README.md", "LICENSE", *INCLUDED):
        # A directory needs a file, or git does not know it.
        file = tmp_path / name / "any" if (CHECKOUT / name).is_dir() else tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=first")
    commit = (tmp_path / ".git/refs/heads/main").read_text()[:7]
    assert built(tmp_path) == (f"{RELEASE}+g{commit}",) * 2
    git(tmp_path, "tag", f"v{RELEASE}")
    assert built(tmp_path) == (RELEASE,) * 2
    (tmp_path / "README.md").write_text("changed\n")
    assert built(tmp_path) == (f"{RELEASE}+g{commit}.dirty",) * 2
