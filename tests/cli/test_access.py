"""`access check`: the decision, the line that made it, and whole files of requests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rensei_daemon.cli.main import main

CONFIG = """\
[model_access.default.matrix.anthropic]
host-session = { allowed = true, host = "oauth-cli" }
byok = { allowed = false } # never here

[model_access.workloads.kg-extraction]
auth_order = ["byok", "metered"]
[model_access.workloads.kg-extraction.matrix.anthropic]
byok = { allowed = true, host = "vertex", model = "claude-haiku" }
"""
ASKED = ("--company", "anthropic", "--model", "claude-sonnet")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A host's file."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def _check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["access", "check", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_what_is_allowed_names_the_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The workload's own policy decides, and the line that pins the mode is named."""
    code, said, _ = _check(
        capsys, "--config", str(config), "--workload", "kg-extraction", *ASKED,
        "--auth-mode", "byok", "--ceiling", "host-session,byok",
    )  # fmt: skip
    assert (code, said) == (
        0,
        "allowed: byok, model claude-haiku\n"
        "  on host vertex\n"
        f"  {config}:8:1: anthropic.byok\n"
        "  left of the ceiling: host-session, byok\n",
    )


def test_what_is_denied_names_the_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denial is exit 1, in the wire's words, with each line that took a mode away."""
    code, said, _ = _check(
        capsys, "--config", str(config), *ASKED, "--auth-mode", "byok", "--ceiling", "byok"
    )
    assert (code, said) == (
        1,
        "access denied: machine policy denies (company=anthropic × model=claude-sonnet × "
        'authMode=byok, workload="")\n'
        f"  {config}:3:1: anthropic.byok\n"
        "  left of the ceiling: nothing\n"
        "  ignored, for nothing can be added: anthropic.host-session\n",
    )


def test_what_is_used_instead_names_the_line_that_took_the_wish_away(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another mode is left; why it is not the one asked for is what an operator asks."""
    code, said, _ = _check(
        capsys, "--config", str(config), *ASKED,
        "--auth-mode", "byok", "--ceiling", "byok,metered",
    )  # fmt: skip
    assert (code, said) == (
        0,
        "allowed: metered, model claude-sonnet; byok is not available\n"
        f"  {config}:3:1: anthropic.byok\n"
        "  left of the ceiling: metered\n"
        "  ignored, for nothing can be added: anthropic.host-session\n",
    )


def test_a_batch_is_answered_line_by_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line gets its answer, in order; one that is no request costs the exit code."""
    asked = {"workload": "", "company": "anthropic", "model": "claude-sonnet"}
    lines = [
        json.dumps({**asked, "requested": "byok", "platformAllowed": ["host-session"]}),
        "[]",
        json.dumps({**asked, "requested": "byok", "platformAllowed": ["byok"]}),
    ]
    batch = tmp_path / "batch.jsonl"
    batch.write_text("\n".join(lines) + "\n")
    code, said, _ = _check(capsys, "--config", str(config), "--batch", str(batch))
    denied = {"allowed": False, "authMode": None, "host": None, "model": None}
    assert code == 64
    assert [json.loads(line) for line in said.splitlines()] == [
        {
            "allowed": True,
            "authMode": "host-session",
            "host": "oauth-cli",
            "model": "claude-sonnet",
            "effectiveSet": ["host-session"],
            "dropped": [],
        },
        {
            "error": "line 2 is not a request "
            "(workload, company, model, requested, platformAllowed)"
        },
        {**denied, "effectiveSet": [], "dropped": ["anthropic.host-session"]},
    ]


def test_half_a_question_is_a_usage_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is named."""
    code, _, said = _check(capsys, "--config", str(config), "--model", "claude-sonnet")
    assert code == 64
    assert "--company, --model, --auth-mode and --ceiling are all needed" in said


@pytest.mark.slow
def test_a_batch_is_utf_8_whatever_the_locale(config: Path, tmp_path: Path) -> None:
    """As JSON is: in a file, and on standard input."""
    request = {"company": "é", "model": "m", "platformAllowed": ["byok"]}
    batch = tmp_path / "batch.jsonl"
    batch.write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
    words = ("access", "check", "--config", str(config), "--batch")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name in (str(batch), "-"):
        done = subprocess.run(
            [sys.executable, "-m", "rensei_daemon", *words, name],
            input=batch.read_bytes(),
            capture_output=True,
            env={"PATH": os.environ["PATH"], **plain},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["allowed"] is True


def test_a_batch_that_cannot_be_read_is_a_usage_error(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Absent, a directory, or no text."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\n")
    for path, why in (
        (tmp_path / "none", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "is not UTF-8"),
    ):
        code, _, said = _check(capsys, "--config", str(config), "--batch", str(path))
        assert code == 64
        assert said.startswith(f"rensei-daemon: {path} {why}\n")


def test_a_broken_file_is_a_settings_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy that cannot be read decides nothing."""
    for text, place in (
        ("[model_access\n", ":1:14: "),
        (f"{CONFIG}[pol]\n", ":9:1: "),
    ):
        config.write_text(text)
        code, _, said = _check(capsys, "--config", str(config), "--batch", "/dev/null")
        assert code == 78
        assert f"{config}{place}" in said
