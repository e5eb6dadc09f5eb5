"""rensei-daemon: the host agent of a Rensei fleet."""

from rensei_daemon.version import version

__version__ = version()
"""Read once: a daemon stays the build it started as, whatever is installed meanwhile."""
