"""The parts of the package that can be looked at without building it.

Its life is `make deb-test`.
"""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

DEB = Path(__file__).parents[2] / "packaging/deb"
SCRIPTS = (
    *("build.sh", "system.sh", "pack.sh", "pack-platform.sh", "version.sh"),
    *("postinst", "prerm", "postrm"),
    *("platform.postinst", "platform.prerm", "platform.postrm"),
)


def version(named: str, time: int, release: str) -> str:
    """Return the package's version for a wheel of a commit of that time."""
    wheel = f"rensei_daemon-{named}-py3-none-any.whl"
    done = subprocess.run(
        ["sh", str(DEB / "version.sh"), wheel, release],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(time)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_version_names_commit_and_release() -> None:
    """A release is itself; a commit has its time before its name."""
    assert version("0.1.0", 0, "12") == "0.1.0-1~deb12"
    assert version("0.1.0+g0a8455b", 0, "13") == "0.1.0+19700101000000.g0a8455b-1~deb13"


@pytest.mark.needs("dpkg")
def test_what_is_newer_sorts_later() -> None:
    """Whatever the names of the commits are, an upgrade is one to apt as well."""
    ascending = [
        version("0.1.0", 0, "12"),
        version("0.1.0+gfffffff", 1, "12"),
        version("0.1.0+g0000000", 100, "12"),
        version("0.1.0+g0000000", 100, "13"),
        version("0.2.0", 0, "12"),
    ]
    for older, newer in itertools.pairwise(ascending):
        words = ["dpkg", "--compare-versions", older, "lt", newer]
        assert subprocess.run(words, check=False).returncode == 0, (older, newer)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_that_sh_reads(name: str) -> None:
    """And that ends at the first failure."""
    script = DEB / name
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "\nset -e" in script.read_text()
    assert os.access(script, os.X_OK)
