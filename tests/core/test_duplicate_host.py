"""Three young tokens refused within half an hour: another host has this machine id."""

from rensei_daemon.core.duplicate_host import EarlyTokenRefusals


def test_three_young_tokens_refused_within_half_an_hour_are_no_accident() -> None:
    """At a beat every 300 s too; half an hour after the first it is over."""
    refusals = EarlyTokenRefusals()
    for now in (300.0, 600.0):
        refusals.note(age_seconds=300.0, now=now)
        assert not refusals.is_contested(now)
    refusals.note(age_seconds=300.0, now=900.0)
    assert refusals.is_contested(2100.0)
    assert not refusals.is_contested(2101.0)


def test_tokens_that_had_their_time_prove_nothing() -> None:
    """A restart of the platform or a replaced key ends many tokens, each once."""
    refusals = EarlyTokenRefusals()
    for now in range(10):
        refusals.note(age_seconds=601.0, now=float(now))
    assert not refusals.is_contested(10.0)
