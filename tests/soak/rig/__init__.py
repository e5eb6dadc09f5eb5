"""A host and its platform, to be treated badly."""

import sys
from pathlib import Path

# A soak is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[2] / "support"))
