"""Every property of the core on two thousand examples each; `make test` tries twenty.

Run it alone: `.venv-dev/bin/python tests/soak/core_properties.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the core's tests with the long profile; exit as they do."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "timeout=900", "tests/core"],
        cwd=ROOT,
        env=os.environ | {"RENSEI_TEST_PROPERTIES": "soak"},
        check=False,
    )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
