"""Paths that come over HTTP."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_platform.errors import InvalidRequestError
from rensei_platform.providers.paths import parse_path

NOT_ALLOWED = "path: a segment has a character that is not allowed"


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("a", ("a",)),
        ("team/app-1/prod_2", ("team", "app-1", "prod_2")),
        ("My Vault/Sign-in (new)", ("My Vault", "Sign-in (new)")),
        ("a.b/...c/.d", ("a.b", "...c", ".d")),
        ("käse/鍵", ("käse", "鍵")),
    ],
)
def test_good(path: str, segments: tuple[str, ...]) -> None:
    """A relative path is split into its segments."""
    assert parse_path(path) == segments


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "path: empty, or has an empty segment"),
        ("a//b", "path: empty, or has an empty segment"),
        ("a/", "path: empty, or has an empty segment"),
        ("/etc/passwd", "path: starts with /; it is relative to the prefix"),
        ("..", "path: . and .. are not allowed"),
        ("a/../b", "path: . and .. are not allowed"),
        ("a/./b", "path: . and .. are not allowed"),
        ("a/.../b", "path: . and .. are not allowed"),
        ("a/%2e%2e/b", NOT_ALLOWED),
        ("a\\..\\b", NOT_ALLOWED),
        ("a?b", NOT_ALLOWED),
        ("a#b", NOT_ALLOWED),
        ("a\0b", NOT_ALLOWED),
        ("a\nb", NOT_ALLOWED),
        ("a\u202eb", NOT_ALLOWED),
        ("a\u200bb", NOT_ALLOWED),
        ("a\ud800", NOT_ALLOWED),
        (" a", NOT_ALLOWED),
        ("a/ /b", NOT_ALLOWED),
        ('x" or title pr "', NOT_ALLOWED),
        ("$(id)", NOT_ALLOWED),
        ("a/\uff0e\uff0e/b", "path: a segment is not in normal form (NFKC)"),
        ("e\u0301", "path: a segment is not in normal form (NFKC)"),
        ("a" * 256, "path: a segment over 255 bytes"),
        ("é" * 128, "path: a segment over 255 bytes"),
        ("/".join("a" * 17), "path: more than 16 segments"),
        ("a" * 1025, "path: longer than 1024 characters"),
    ],
)
def test_hostile(path: str, message: str) -> None:
    """What two readers could understand differently is refused, not repaired."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_path(path)
    assert str(refused.value) == message


@given(st.text(st.sampled_from("ab./\\%\0\u202e\uff0e é~"), max_size=12))
def test_never_leaves(path: str) -> None:
    """An accepted path is its segments, and none of them goes up or is empty."""
    try:
        segments = parse_path(path)
    except InvalidRequestError:
        return
    assert "/".join(segments) == path
    for segment in segments:
        assert segment.strip(". ")
        assert unicodedata.normalize("NFKC", segment) == segment
