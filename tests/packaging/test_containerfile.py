"""The Containerfile, without an engine: what it copies builds, what it names is true."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rensei_daemon.locations import locate

CHECKOUT = Path(__file__).parents[2]
FILE = CHECKOUT / "packaging/Containerfile"
UID = 65532


def instructions(name: str) -> list[str]:
    """Return what stands behind each instruction of a name, comments left out."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def copied() -> list[str]:
    """Return the paths of the checkout that go into the image's build."""
    copies = [words.split() for words in instructions("COPY")]
    return [path for words in copies if words[0][:2] != "--" for path in words[:-1]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as the image's build makes it, of what is copied alone."""
    source = tmp_path_factory.mktemp("source")
    for name in copied():
        path = CHECKOUT / name
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, source / name, ignore=ignore)
        else:
            shutil.copy(path, source)
    (source / "src/rensei_daemon/BUILD").write_text("0.1.0+gtest\n")
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([sys.executable, *words], cwd=source, check=True)
    return zipfile.ZipFile(next(source.glob("*.whl")))


@pytest.mark.slow
def test_what_is_copied_is_enough_to_build(wheel: zipfile.ZipFile) -> None:
    """The program, what `install` brings, and the version that was given."""
    names = wheel.namelist()
    assert "rensei_daemon/daemon.py" in names
    assert "rensei_daemon/_packaging/systemd/rensei-daemon.service" in names
    assert wheel.read("rensei_daemon/BUILD") == b"0.1.0+gtest\n"


def test_the_version_is_written_where_the_build_looks() -> None:
    """A build argument becomes the file that names the build."""
    assert instructions("ARG") == ["VERSION="]
    (command,) = [run for run in instructions("RUN") if "$VERSION" in run]
    assert ">src/rensei_daemon/BUILD" in command


def test_the_volumes_are_where_the_daemon_looks() -> None:
    """A user by number finds its files in the three directories that it owns."""
    places = locate(environ={}, uid=UID, config=Path("/etc/rensei-daemon/config.toml"))
    directories = {places.config.parent, places.state, places.runtime}
    (volumes,) = instructions("VOLUME")
    assert {Path(path) for path in json.loads(volumes)} == directories
    (user,) = instructions("USER")
    assert user == f"{UID}:{UID}"
    (made,) = [run for run in instructions("RUN") if "install --directory" in run]
    for directory in directories:
        owner = f"--owner={UID} --group={UID} "
        assert re.search(rf"{owner}--mode=0\d+ {directory}( |$)", made), directory


def test_the_program_is_pid_1() -> None:
    """No shell stands before it, so that signals reach it."""
    (entry,) = instructions("ENTRYPOINT")
    assert json.loads(entry) == ["/usr/bin/rensei-daemon"]
    assert instructions("CMD") == ['["run"]']
    assert "/opt/rensei-daemon/bin/rensei-daemon /usr/bin/rensei-daemon" in " ".join(
        instructions("RUN")
    )


def test_every_dependency_is_pinned_by_hash() -> None:
    """Nothing is fetched from an index but what the lock file names."""
    installs = [run for run in instructions("RUN") if "pip install" in run]
    assert len(installs) == 2
    for run in installs:
        assert "--require-hashes" in run or "--no-deps --no-build-isolation" in run
