"""The client of the platform: requests, streams, identity, and their errors."""

import sys

# httpx imports its own command line if that is installed. None in its place prevents the
# import, which saves the daemon a megabyte of memory.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # as documented
