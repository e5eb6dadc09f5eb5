"""The rows of `make bench`: what a host's daemon takes, beside the least it could take."""

import sys
from pathlib import Path

# A bench is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[2] / "support"))
