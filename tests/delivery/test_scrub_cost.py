"""What a hook's output costs the loop, whatever is in it and in the values."""

import random
import string
import time
from collections.abc import Callable
from functools import cache

import pytest

from rensei_daemon.core.scrub import Scrubber

ALPHABET = ((string.ascii_letters + string.digits) * 5)[:256].encode()
"""The character for each byte."""


@cache
def _random(count: int, length: int) -> list[str]:
    draw = random.Random(count)  # noqa: S311 - the same values each time
    whole = draw.randbytes(count * length).translate(ALPHABET).decode()
    return [whole[at : at + length] for at in range(0, len(whole), length)]


Crafted = tuple[list[str], str]
"""Values, and the text they are looked for in."""


def _random_values() -> Crafted:
    return _random(4000, 2048), _random(1, 65536)[0]


def _one_prefix() -> Crafted:
    return [f"{'A' * 2040}{n:08}" for n in range(4000)], "A" * 65536


def _runs_of_one_character() -> Crafted:
    values = [f"{'A' * (n // 2 + 8)}B{'A' * (2039 - n // 2)}"[:2048] for n in range(4000)]
    return values, "A" * 65536


def _characters_to_escape() -> Crafted:
    values = [('"\\$`é%/ ' * 300)[:2040] + f"{n:08}" for n in range(4000)]
    return values, ('"\\$`é%/ ' * 8192)[:58_000]


def _every_window_begins_one() -> Crafted:
    (windows,) = _random(1, 6100)
    return [windows[n : n + 2048] for n in range(4000)], (windows[:4000] * 17)[:65536]


def _every_other_text_begins_one() -> Crafted:
    values = _random(4000, 2048)
    return values, "".join(value[:8] for value in values) * 2


CRAFTED: dict[str, Callable[[], Crafted]] = {
    "random": _random_values,
    "a prefix of all": _one_prefix,
    "runs of one character": _runs_of_one_character,
    "characters to escape": _characters_to_escape,
    "every window begins one": _every_window_begins_one,
    "every other text begins one": _every_other_text_begins_one,
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_long_text_and_many_values_cost_little(name: str) -> None:
    """64 KiB against 8 sessions of 500 values of 2 KiB: below 20 ms, crafted or not.

    Twice that here: a busy machine has cold caches. What is not linear takes seconds.
    """
    values, text = CRAFTED[name]()
    scrub = Scrubber()
    for start in range(0, 4000, 500):
        scrub.register(f"session {start}", values[start : start + 500])
    taken = []
    for _ in range(5):
        before = time.thread_time()
        scrub(text)
        taken.append(time.thread_time() - before)
    assert min(taken) < 0.04
