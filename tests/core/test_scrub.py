"""Values found in foreign text, however they got there."""

import base64
import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest

from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.core.scrub import Fingerprints, Scrubber

CANARY = 'c4n4ry+/ "$ü\\x?~>~'
PEM = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq0\nz9Kc0v3R8oQm2nXw\n-----END KEY-----\n"


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
    scrub.learn([CANARY])
    scrubbed = scrub(f"before {spelled} after")
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    assert "[redacted]" in scrubbed
    for part in ("c4n4ry", "Y0bjRye", "NG40cn", "pbjRuNHJ5"):
        assert part not in scrubbed


def test_each_line_of_a_value_is_found() -> None:
    """A key of many lines is quoted a line at a time."""
    scrub = Scrubber()
    scrub.learn([PEM])
    assert scrub("key: z9Kc0v3R8oQm2nXw!") == "key: [redacted]!"
    assert scrub(PEM) == "[redacted]"


def test_short_values_are_left_alone() -> None:
    """Fewer than eight characters would be found everywhere."""
    scrub = Scrubber()
    scrub.learn(["", "true", "1234567", "12345678"])
    assert scrub("true 1234567 12345678") == "true 1234567 [redacted]"


def test_of_two_values_the_longer_is_found_whole() -> None:
    """A value that begins with another leaves nothing of itself behind."""
    scrub = Scrubber()
    scrub.learn(["token-abc", "token-abc-def"])
    assert scrub("<token-abc-def> <token-abc>") == "<[redacted]> <[redacted]>"


def test_the_oldest_values_are_forgotten() -> None:
    """Memory is bounded, and a value that comes again counts as new."""
    scrub = Scrubber(most_values=2)
    scrub.learn(["value-one", "value-two"])
    assert scrub("value-two") == "[redacted]"
    scrub.learn(["value-one", "value-three"])
    assert scrub("value-one value-two value-three") == "[redacted] value-two [redacted]"


def test_what_came_together_is_forgotten_in_its_order() -> None:
    """Of values learnt before a text was seen, the newest stays the longest."""
    scrub = Scrubber(most_values=3)
    scrub.learn(["value-one", "value-two", "value-six"])
    assert scrub("value-one") == "[redacted]"
    scrub.learn(["value-ten"])
    assert scrub("value-one value-six") == "value-one [redacted]"
    scrub.learn(f"value-no-{number}" for number in range(10))
    assert scrub("value-no-6 value-no-7") == "value-no-6 [redacted]"


def test_a_long_text_and_many_values_cost_little() -> None:
    """64 KiB against 4,000 values, a hook's worst: far below a second."""
    scrub = Scrubber()
    scrub.learn(f"value-number-{number}" for number in range(4000))
    text = "value-number- " * 4681
    before = time.process_time()
    assert scrub(text) == text
    assert time.process_time() - before < 0.5


def test_nothing_of_a_value_shows_in_a_repr() -> None:
    """Not even in a traceback that prints locals."""
    scrub = Scrubber()
    scrub.learn([CANARY])
    assert repr(scrub) == "Scrubber(1 values)"
    assert scrub.longest >= len("canary-one")


def test_a_fingerprint_stands_for_a_value_under_one_key() -> None:
    """Twelve hex digits, the same for the same value, others with another key."""
    one, other = Fingerprints(b"k" * 32), Fingerprints(b"l" * 32)
    assert one.of("secret") == "ead256ccb47a"
    assert one.of("secret") != one.of("secret2")
    assert one.of("secret") != other.of("secret")


def test_what_two_values_share_is_looked_for_while_one_is_left() -> None:
    """Forgetting the older of two keeps the line that the newer one has too."""
    scrub = Scrubber(most_values=1)
    scrub.learn(["canary-line\nfirst-only"])
    assert scrub("canary-line first-only") == "[redacted] [redacted]"
    scrub.learn(["canary-line\nsecond-only"])
    assert scrub("canary-line first-only") == "[redacted] first-only"


def test_it_shows_nothing_of_what_it_knows() -> None:
    """Its repr counts the values."""
    scrub = Scrubber()
    scrub.learn(["canary-one"])
    assert repr(scrub) == "Scrubber(1 values)"
    assert scrub.longest >= len("canary-one")
