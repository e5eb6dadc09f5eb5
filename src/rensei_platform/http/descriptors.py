"""How many files this process may have open, and how many of them are streams."""

import resource

_RESERVE = 48
"""What a server opens beside its connections: the database, files, and a few to spare."""


def raise_limit() -> int | None:
    """Raise the limit of open files as far as allowed; return it. None if there is none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def most_streams(limit: int | None) -> int | None:
    """Return how many streams leave enough for the database, requests and providers."""
    return None if limit is None else limit - min(1024, limit // 2)


def is_full(connections: int) -> bool:
    """Whether this many connections leave next to nothing of the limit.

    The event loop closes what comes then, and says nothing.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and connections >= soft - _RESERVE
