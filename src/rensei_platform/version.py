"""The version of the installed distribution."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """Return the version, such as 0.1.0+g0a8455b."""
    return metadata.version("rensei-daemon")
