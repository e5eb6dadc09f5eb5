"""The codes of conditions, and the table of them in the operator's manual."""

import re
from pathlib import Path

from rensei_daemon.core.conditions import Code

DOCS = Path(__file__).parents[2] / "docs/operations.md"
ROW = re.compile(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \| (error|warning|note)")


def test_the_manual_has_a_row_for_every_code() -> None:
    """The table names each code once, with its severity, and nothing else."""
    section = DOCS.read_text().partition("## Conditions")[2].partition("\n#")[0]
    documented = [
        (code, severity.replace("note", "info"))
        for line in section.splitlines()
        if (row := ROW.match(line))
        for code in re.findall(r"[a-z_.]+", row[1])
        for severity in [row[2]]
    ]
    assert sorted(documented) == sorted((code, code.severity) for code in Code)
