"""The platform, seen from this host."""

import sys

# httpx imports a command line of its own where its library is installed. None in its
# place forbids that, and leaves a daemon a megabyte smaller for its whole life.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # as documented
