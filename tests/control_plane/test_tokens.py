"""Runtime tokens, as their readers find them: also those that were read before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rensei_platform import tokens
from rensei_platform.errors import UnauthorizedError
from rensei_platform.master_key import (
    create_master_key_file,
    generate_master_key,
    replace_master_keys,
)
from rensei_platform.sealing import Sealer
from rensei_platform.tokens import Claims, Tokens

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLAIMS = Claims("wkr_1", "org_a", "key_1")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a new master key."""
    path = tmp_path / "platform.key"
    create_master_key_file(path)
    return path


@pytest.fixture
def issuer(key_file: Path) -> Tokens:
    """What issues and reads tokens of an hour."""
    return Tokens(Sealer.from_file(key_file), HOUR)


def issue(issuer: Tokens, token_id: str = "jti_1") -> str:
    """Return a new token."""
    return issuer.issue("wkr_1", "org_a", "key_1", token_id, NOW)[0]


def test_a_token_ends_although_it_was_read_before(issuer: Tokens) -> None:
    """At its time, to the second."""
    token = issue(issuer)
    for at in (NOW, NOW + HOUR - timedelta(seconds=1)):
        assert issuer.read(token, at) == CLAIMS
    with pytest.raises(UnauthorizedError, match="Runtime token expired"):
        issuer.read(token, NOW + HOUR)


def test_a_token_ends_with_the_key_that_signed_it(issuer: Tokens, key_file: Path) -> None:
    """It is good while the key is in the file, first or not."""
    token = issue(issuer)
    assert issuer.read(token, NOW) == CLAIMS
    old, new = Sealer.from_file(key_file).keys[0], generate_master_key()
    replace_master_keys(key_file, [new, old])
    assert issuer.read(token, NOW) == CLAIMS
    replace_master_keys(key_file, [new])
    with pytest.raises(UnauthorizedError, match="Unauthorized"):
        issuer.read(token, NOW)


def test_a_changed_token_is_none(issuer: Tokens) -> None:
    """Also one that differs from a good one in its signature alone."""
    token = issue(issuer)
    assert issuer.read(token, NOW) == CLAIMS
    last = "A" if token[-2] != "A" else "B"
    for changed in (token[:-2] + last + token[-1], f"{token}.", "a.b.c", "", "\ud800.x.y"):
        with pytest.raises(UnauthorizedError):
            issuer.read(changed, NOW)


def test_so_many_tokens_are_remembered(
    issuer: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond, the oldest goes; it is still good."""
    monkeypatch.setattr(tokens, "MOST_REMEMBERED", 2)
    made = [issue(issuer, f"jti_{number}") for number in range(4)]
    for token in (*made, *made):
        assert issuer.read(token, NOW) == CLAIMS
    assert len(issuer._remembered) == 2
