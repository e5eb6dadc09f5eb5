"""Values found in foreign text, however they got there."""

import base64
import json
import random
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest

from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.core.scrub import CUT, Fingerprints, Scrubber
from rensei_daemon.core.secret_encodings import forms_of

ALPHABET = string.ascii_letters + string.digits
CANARY = 'c4n4ry+/ "$ü\\x?~>~'
PEM = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq0\nz9Kc0v3R8oQm2nXw\n-----END KEY-----\n"
WIDE = "".join(chr(0x10000 + 7919 * number % 60_000) for number in range(6000))
"""Four bytes a character, up to sixteen when it is quoted."""


@pytest.mark.parametrize(
    "spelled",
    [
        CANARY,
        json.dumps({"a": CANARY}),
        json.dumps({"a": CANARY}, ensure_ascii=False),
        json.dumps({"body": json.dumps({"a": CANARY})}),
        repr([CANARY]),
        repr(CANARY.encode()),
        quote(CANARY),
        quote(CANARY, safe=""),
        quote_plus(CANARY),
        urlencode({"token": CANARY}),
        render_env_file({"A": CANARY}),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"u:{CANARY}".encode()).decode(),
        base64.b64encode(f"me:{CANARY}:x".encode()).decode(),
        base64.b64encode(f"you:{CANARY}xy".encode()).decode(),
    ],
)
def test_a_value_is_found_in_every_form(spelled: str) -> None:
    """As it is, quoted, percent-encoded, or in base64 beside anything else."""
    scrub = Scrubber()
    scrub.register("build", [CANARY])
    scrubbed = scrub(f"before {spelled} after")
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    assert "[redacted]" in scrubbed
    for part in ("c4n4ry", "Y0bjRye", "NG40cn", "pbjRuNHJ5"):
        assert part not in scrubbed


def test_each_line_of_a_value_is_found() -> None:
    """A key of many lines is quoted a line at a time."""
    scrub = Scrubber()
    scrub.register("build", [PEM])
    assert scrub("key: z9Kc0v3R8oQm2nXw!") == "key: [redacted]!"
    assert scrub(PEM) == "[redacted]"


def test_so_many_lines_of_a_value_are_known() -> None:
    """What has more is found whole, and by its first lines."""
    lines = [f"line-{number:04}-x" for number in range(300)]
    scrub = Scrubber()
    scrub.register("build", ["\n".join(lines)])
    assert scrub("line-0255-x line-0256-x") == "[redacted] line-0256-x"
    assert scrub("\n".join(lines)) == "[redacted]"


def test_short_values_are_left_alone() -> None:
    """Fewer than eight characters would be found everywhere."""
    scrub = Scrubber()
    scrub.register("build", ["", "true", "1234567", "12345678"])
    assert scrub("true 1234567 12345678") == "true 1234567 [redacted]"


def test_of_two_values_the_longer_is_found_whole() -> None:
    """A value that begins with another leaves nothing of itself behind."""
    scrub = Scrubber()
    scrub.register("build", ["token-abc", "token-abc-def"])
    assert scrub("<token-abc-def> <token-abc>") == "<[redacted]> <[redacted]>"


def test_what_is_in_force_is_never_forgotten() -> None:
    """However many values others have, and however often those change."""
    scrub = Scrubber(former_bytes=20)
    scrub.register("key", ["rsk_live_0123456789"])
    for number in range(100):
        scrub.register("build", [f"value-number-{number}"])
    assert scrub("rsk_live_0123456789 value-number-99") == "[redacted] [redacted]"


def test_what_is_no_longer_in_force_is_known_for_a_while() -> None:
    """The oldest is forgotten first, and memory is bounded by bytes."""
    scrub = Scrubber(former_bytes=20)
    for value in ("value-one", "value-two", "value-six", "value-ten"):
        scrub.register("build", [value])
    scrubbed = scrub("value-one value-two value-six value-ten")
    assert scrubbed == "value-one [redacted] [redacted] [redacted]"
    scrub.register("build", ["value-two"])
    scrub.register("build", [])
    assert scrub("value-six value-ten value-two") == "value-six [redacted] [redacted]"


def test_a_value_of_two_sessions_is_in_force_until_both_let_go() -> None:
    """One organisation's credential is every session's."""
    scrub = Scrubber(former_bytes=0)
    scrub.register("a", ["value-one", "value-two"])
    scrub.register("b", ["value-one"])
    scrub.register("a", ["value-two"])
    assert scrub("value-one value-two") == "[redacted] [redacted]"
    scrub.register("b", [])
    assert scrub("value-one value-two") == "value-one [redacted]"


def test_nothing_is_left_of_what_is_forgotten() -> None:
    """Neither of a value, nor of its lines and pieces that another has too."""
    scrub = Scrubber(former_bytes=0)
    scrub.register("kept", [PEM])
    kept = dict(scrub._begins)
    scrub.register("gone", [PEM + "more", CANARY, "x" * 10_000])
    scrub.register("gone", [])
    assert scrub._begins == kept
    scrub.register("kept", [])
    assert not scrub._begins
    assert not scrub._owners
    assert not scrub._former


@pytest.mark.parametrize("length", [4095, 4096, 4103, 4104, 4105, 8192, 50_001])
def test_a_long_value_is_found_whole(length: int) -> None:
    """It is searched for in pieces; the text between two of them is redacted too."""
    value = "".join(random.Random(length).choices(ALPHABET, k=length))  # noqa: S311
    scrub = Scrubber()
    scrub.register("build", [value])
    assert scrub(f"<{value}>") == "<[redacted]>"
    packed = scrub(base64.b64encode(f"me:{value}".encode()).decode())
    assert len(packed.replace("[redacted]", "")) < 10 + length // 1000


@pytest.mark.parametrize("spelled", ["{}", '"{}"', "me:{} "])
def test_two_secrets_that_overlap_both_go(spelled: str) -> None:
    """The end of one is the beginning of another."""
    scrub = Scrubber()
    scrub.register("build", ["abcdefgh12345678", "12345678ijklmnop"])
    found = scrub(spelled.format("abcdefgh12345678ijklmnop"))
    assert found == spelled.format("[redacted]")


def test_a_common_beginning_is_no_secret() -> None:
    """What is public in a value is not redacted, however often it occurs."""
    scrub = Scrubber()
    scrub.register("build", ["https://hooks.example/T0/s3cret", "https://a:b@db.example"])
    text = "https://example.com, https://hooks.example/T1/, https://example.com"
    assert scrub(text) == text
    assert scrub(f"{text} https://a:b@db.example") == f"{text} [redacted]"


def test_every_beginning_of_a_text_may_be_one() -> None:
    """Also where very many are known and meant."""
    values = [f"{number:08}-secret" for number in range(100)]
    scrub = Scrubber()
    scrub.register("build", values)
    assert scrub("; ".join(values)) == "; ".join(["[redacted]"] * 100)


@pytest.mark.parametrize("text", ["", "short", "seventy"])
def test_a_text_too_short_for_any_is_as_it_was(text: str) -> None:
    """Nothing of eight characters can be in it."""
    scrub = Scrubber()
    scrub.register("build", ["seventy-seven"])
    assert scrub(text) == text


def test_a_value_is_spelled_line_by_line_too() -> None:
    """Text that contains only a line of a value is redacted too."""
    forms = set(forms_of("first-line\nother-line"))
    assert {"first-line", "other-line", "first-line%0Aother-line"} < forms


def test_the_end_of_a_cut_text_may_be_half_a_secret() -> None:
    """The beginning of a value is redacted, in any form; so are the last seven bytes."""
    scrub = Scrubber()
    scrub.register("build", [PEM, "value-number-one"])
    for text in ("say value-number", json.dumps(PEM)[:-9]):
        found = scrub(f"{text:->65536}-more")
        assert found.endswith(" …")
        assert "value" not in found
        assert "MIIE" not in found
    assert scrub(f"{'nothing of ours is here':->65536}-").endswith("nothing of ours  …")
    assert scrub("say value-number") == "say value-number"


def test_a_text_that_is_too_long_is_cut() -> None:
    """It may end within a secret, as any cut text."""
    scrub = Scrubber()
    scrub.register("build", ["value-number-one"])
    found = scrub("x" * (64 * 1024 - 12) + "value-number-one, and more")
    assert found == "x" * (64 * 1024 - 12) + "[redacted] …"


@pytest.mark.parametrize(
    "value", [PEM, WIDE, "value-number-one"], ids=["lines", "wide", "short"]
)
@pytest.mark.parametrize(
    "form",
    [str, lambda v: json.dumps(v)[1:-1], lambda v: repr(v.encode())[2:-1]],
    ids=["plain", "JSON", "bytes"],
)
def test_the_end_of_a_text_may_begin_within_a_secret(
    value: str, form: Callable[[str], str]
) -> None:
    """Nothing is left of it, wherever the cut is."""
    scrub = Scrubber()
    scrub.register("build", [value])
    secret, rest = form(value).encode(), b"." * 64 * 1024
    for cut in (1, len(secret) // 3, len(secret) - 1):
        text = b"x" * 200_000 + secret + rest[: 64 * 1024 - cut]
        found = scrub(text.decode(), keep_end=True)
        assert found.startswith("[redacted]")
        shown = found.replace("[redacted]", "")
        assert shown.strip(".") in ("", CUT)


def test_of_a_text_of_two_ends_the_end_is_returned() -> None:
    """All of it, if it is short, or half of a character was cut."""
    scrub = Scrubber()
    scrub.register("build", ["value-number-one"])
    assert scrub("is value-number-one", keep_end=True) == "is [redacted]"
    assert scrub("é" * 40_000 + "!", keep_end=True) == "é" * (32 * 1024 - 1) + "!"


def test_a_value_before_the_end_that_is_returned_leaves_no_mark() -> None:
    """What is left out is searched as well, and then not shown."""
    scrub = Scrubber()
    scrub.register("build", ["value-number-one"])
    end = "x" * 64 * 1024
    assert scrub("value-number-one" + end, keep_end=True) == end


def test_what_takes_too_long_is_left_out() -> None:
    """And nothing of a secret is left in: what was not looked through is not shown."""
    values = [f"{'A' * 2040}{n:08}" for n in range(4000)]
    scrub = Scrubber()
    scrub.register("build", values)
    found = scrub(f"well, {'A' * 60_000}{values[7]}")
    assert found == "well, [redacted: too much of the rest may be secret]"


def test_nothing_of_a_value_shows_in_a_repr() -> None:
    """Not even in a traceback that prints locals."""
    scrub = Scrubber()
    scrub.register("build", [CANARY])
    assert repr(scrub) == "Scrubber(1 values)"


def test_a_fingerprint_stands_for_a_value_under_one_key() -> None:
    """Twelve hex digits, the same for the same value, others with another key."""
    one, other = Fingerprints(b"k" * 32), Fingerprints(b"l" * 32)
    assert one.of("secret") == "ead256ccb47a"
    assert one.of("secret") != one.of("secret2")
    assert one.of("secret") != other.of("secret")


def test_what_two_values_share_is_looked_for_while_one_is_left() -> None:
    """Forgetting the older of two keeps the line that the newer one has too."""
    scrub = Scrubber(former_bytes=0)
    scrub.register("build", ["canary-line\nfirst-only"])
    assert scrub("canary-line first-only") == "[redacted] [redacted]"
    scrub.register("build", ["canary-line\nsecond-only"])
    assert scrub("canary-line first-only") == "[redacted] first-only"
