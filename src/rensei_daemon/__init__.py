"""rensei-daemon: the host agent of a Rensei fleet."""

__version__ = "0.1.0"
