"""Calls that may hang."""

import os
import threading

import pytest

from rensei_daemon.doctor.call_with_timeout import call_with_timeout


def test_what_a_call_returns_or_raises_is_passed_on() -> None:
    """As if it had been called here."""
    assert call_with_timeout(10, lambda: 7) == 7
    with pytest.raises(KeyError, match="NOBODYS"):
        call_with_timeout(10, lambda: os.environ["RENSEI_NOBODYS"])


def test_a_call_that_hangs_is_left_behind() -> None:
    """Its end is not waited for."""
    never = threading.Event()
    with pytest.raises(TimeoutError):
        call_with_timeout(0.05, never.wait)
    never.set()
