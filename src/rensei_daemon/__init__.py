"""rensei-daemon: the host agent of a Rensei fleet."""

from rensei_daemon.version import version

__version__ = version()
"""Read once: a daemon keeps the version it started with, whatever is installed later."""
