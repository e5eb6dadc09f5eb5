"""How long to wait before the next try."""

from rensei_daemon.core.backoff import Backoff


def _highest(low: float, high: float) -> float:
    return high


def _lowest(low: float, high: float) -> float:
    return low


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    """Draws come from [0, ceiling]; the cap is applied before the draw."""
    policy, delays = Backoff(base_seconds=1, cap_seconds=60), []
    for _ in range(9):
        delay, policy = policy.next(_highest)
        delays.append(delay)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert policy.next(_lowest)[0] == 0


def test_a_thousand_failures_do_not_overflow() -> None:
    """After any number of attempts the delay is the cap."""
    policy = Backoff(base_seconds=1, cap_seconds=300, attempts=100_000)
    assert policy.next(_highest)[0] == 300


def test_a_wait_that_was_asked_for_is_kept_and_spread() -> None:
    """Never sooner than requested, up to a fifth later, and later still after failures."""
    policy = Backoff(base_seconds=1, cap_seconds=60)
    assert policy.next(_lowest, at_least=10)[0] == 10
    assert policy.next(_highest, at_least=10)[0] == 12
    late = Backoff(base_seconds=1, cap_seconds=60, attempts=10)
    assert late.next(_highest, at_least=10)[0] == 60


def test_a_policy_never_changes() -> None:
    """A step returns another policy and leaves this one as it is."""
    policy = Backoff()
    policy.next(_highest)
    assert policy == Backoff()
