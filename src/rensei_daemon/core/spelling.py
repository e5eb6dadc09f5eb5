"""The word somebody probably meant."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, what: str = "did you mean") -> str:
    """Return `did you mean "x"?` for the likeliest known word, or nothing."""
    # Only a mistake needs it, and a daemon without mistakes is smaller for it.
    from difflib import get_close_matches

    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f'{what} "{by_lower[close[0]]}"?' if close else ""
