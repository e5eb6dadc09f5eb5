"""How long a session waits after an answer of the platform."""

import pytest

from rensei_daemon.core.retry_policy import (
    RETRY,
    SLOW_RETRY,
    capped_retry,
    is_not_found,
    requested_wait,
)
from rensei_daemon.errors import PlatformError, RefusedError, TransientError

GONE = RefusedError("404", status=404, detail="")
FORBIDDEN = RefusedError("403", status=403, detail="")
BUSY = TransientError("503", retry_after=7.0)
SILENT = TransientError("no answer")


def test_a_refusal_is_retried_more_slowly() -> None:
    """Up to five minutes instead of one; what was waited so far is kept."""
    assert capped_retry(SILENT, SLOW_RETRY) == RETRY
    assert capped_retry(FORBIDDEN, RETRY) == SLOW_RETRY


@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, False), (SILENT, False), (FORBIDDEN, False), (GONE, True)],
)
def test_what_the_platform_does_not_know(
    error: PlatformError | None, expected: bool
) -> None:
    """Only 204 and 404 mean that there is nothing."""
    assert is_not_found(error) is expected


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(None, 0.0), (SILENT, 0.0), (FORBIDDEN, 0.0), (BUSY, 7.0), (GONE, 300.0)],
)
def test_the_wait_that_was_asked_for(error: PlatformError | None, seconds: float) -> None:
    """The platform's own, or the slow pace where it has nothing."""
    assert requested_wait(error, rest_seconds=300.0) == seconds
