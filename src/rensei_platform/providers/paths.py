"""Paths below a provider's prefix, as they come over HTTP.

A path is segments joined by `/`. It is refused, not repaired, where two readers could
understand it differently: `..`, empty segments, escapes, control and invisible characters,
letters in more than one encoding.
"""

import unicodedata

from rensei_platform.errors import InvalidRequestError

MOST_LENGTH = 1024
MOST_SEGMENTS = 16
MOST_SEGMENT_LENGTH = 255
_FORBIDDEN = frozenset("\\%?#;*\"'`$<>|\x7f")
"""What a URL, a shell, a filter or a file system of somebody's could read as syntax."""


def parse_path(text: str) -> tuple[str, ...]:
    """Return the segments of a path. Raise InvalidRequestError."""
    if len(text) > MOST_LENGTH:
        raise InvalidRequestError(f"path: longer than {MOST_LENGTH} characters")
    if text.startswith("/"):
        raise InvalidRequestError("path: starts with /; it is relative to the prefix")
    segments = tuple(text.split("/"))
    if len(segments) > MOST_SEGMENTS:
        raise InvalidRequestError(f"path: more than {MOST_SEGMENTS} segments")
    for segment in segments:
        _check(segment)
    return segments


def _check(segment: str) -> None:
    if not segment:
        raise InvalidRequestError("path: empty, or has an empty segment")
    if segment.strip(".") == "":
        raise InvalidRequestError("path: . and .. are not allowed")
    if len(segment.encode(errors="replace")) > MOST_SEGMENT_LENGTH:
        raise InvalidRequestError(f"path: a segment over {MOST_SEGMENT_LENGTH} bytes")
    if _FORBIDDEN & set(segment) or not segment.isprintable() or segment != segment.strip():
        raise InvalidRequestError("path: a segment has a character that is not allowed")
    if not unicodedata.is_normalized("NFKC", segment):
        raise InvalidRequestError("path: a segment is not in normal form (NFKC)")
