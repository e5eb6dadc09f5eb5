"""The code of every check, in the source and in the docs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rensei_daemon.doctor

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
SOURCE = Path(rensei_daemon.doctor.__file__).parent
MAKERS = {
    "passed",
    "warned",
    "failed",
    "failed_by",
    "judge",
    "Finding",
    "_of_condition",
    "_part",
}


def _codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id in MAKERS and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def test_every_check_is_documented_and_no_other() -> None:
    """An operator who sees a code finds it explained."""
    in_source = {code for path in SOURCE.glob("*.py") for code in _codes(path)}
    section = DOCS.read_text().partition("## The doctor")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {code for row in rows for code in re.findall(r"`([^`]+)`", row)}
    # `platform.http` is the one whose name is chosen while it runs.
    assert in_source | {"platform.http"} == documented
