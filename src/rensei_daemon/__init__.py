"""rensei-daemon: the host agent of a Rensei fleet."""

from rensei_daemon.version import version

__version__ = version()
"""Read once: a newer build may be installed while a daemon runs."""
