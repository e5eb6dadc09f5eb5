"""Skips are declared, told once, and refused where a run does not allow them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from needs import ALLOWED, NEEDS, missing_in, refused, summary

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parent
TESTS = """
import pytest
from needs import lack, need

@pytest.mark.needs("a fiddle", "root", "a bow")
def test_marked(): assert False

@pytest.fixture
def made(): need("a fiddle")

def test_by_fixture(made): assert False

def test_tried(): lack("a bow", "it broke: twice")

@pytest.mark.skip(reason="did not feel like it")
def test_ad_hoc(): assert False

def test_runs(): pass
"""
CONFTEST = """
import leftovers
from needs import NEEDS, Need
leftovers.GRACE_SECONDS = 1.0
NEEDS["root"] = Need(lambda: True, "")
NEEDS["a fiddle"] = Need(lambda: False, "apt-get install fiddle")
NEEDS["a bow"] = Need(lambda: False, "make one")
"""


def run(place: Path, tests: str, *options: str, **environ: str) -> tuple[int, str]:
    """Run tests as a suite of their own; return the exit code and what was said."""
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_it.py").write_text(tests)
    words = ["-pskips", "-pleftovers", "-pno:cacheprovider", *options, str(place)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(place), *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SUPPORT), **environ},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environ", "options", "code", "complaint"),
    [
        ({}, (), 0, ""),
        (
            {ALLOWED: "a fiddle"},
            (),
            1,
            "does not list (undeclared) did not feel like it, a bow",
        ),
        ({ALLOWED: ""}, ("-pparallel", "--processes=1"), 1, "does not list"),
    ],
)
def test_skips_are_told_once_and_may_be_refused(
    tmp_path: Path,
    environ: dict[str, str],
    options: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    """One line a need, with its tests and its remedy; also where a fork runs the tests."""
    ended, said = run(tmp_path, TESTS, *options, **environ)
    assert [line for line in said.splitlines() if re.match(" +[0-9]+ test", line)] == [
        "   1 test   (undeclared) did not feel like it: declare it in needs.py",
        "   2 tests  a bow: make one",
        "   2 tests  a fiddle: apt-get install fiddle",
    ]
    assert ended == code
    assert complaint in said
    assert complaint or ALLOWED not in said


def test_a_run_without_skips_says_nothing_of_them(tmp_path: Path) -> None:
    """And passes, whatever it allows."""
    ended, said = run(tmp_path, "def test_it(): pass", **{ALLOWED: ""})
    assert ended == 0
    assert "skipped" not in said


def test_only_what_is_listed_is_allowed() -> None:
    """Without a list everything is."""
    missing = missing_in(["Skipped: needs root, zsh", "needs boot: no cgroup2", "just so"])
    assert missing == {"root": 1, "zsh": 1, "boot": 1, "(undeclared) just so": 1}
    assert refused(missing, None) == []
    assert refused(missing, "zsh, boot") == ["(undeclared) just so", "root"]


def test_every_need_has_a_remedy() -> None:
    """Most are a line to type."""
    assert all(need.remedy for need in NEEDS.values())
    assert summary(missing_in(["needs ip"])) == ["   1 test   ip: apt-get install iproute2"]
