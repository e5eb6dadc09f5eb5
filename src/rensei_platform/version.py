"""The version of the installed distribution."""

from importlib import metadata


def version() -> str:
    """Return the version, such as 0.1.0+g0a8455b."""
    return metadata.version("rensei-daemon")
