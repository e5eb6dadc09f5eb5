"""What a command imports before it does anything."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from rensei_platform.cli.main import commands
commands(["host", "list", "--help"], standalone_mode=False)
print([name for name in ("sqlalchemy", "alembic", "uvicorn") if name in sys.modules])
"""


def test_what_opens_the_database_is_not_imported_for_a_call_over_http() -> None:
    """A command that only asks a server starts six times as fast."""
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_what_migrates_is_imported_when_there_is_something_to_migrate() -> None:
    """A server and the commands beside it only compare the schema: they start sooner."""
    script = "import sys, rensei_platform.cli.serve; print('alembic' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n"
