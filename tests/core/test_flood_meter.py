"""A flood is detected by number or by size, for an hour."""

from rensei_daemon.core.flood_meter import FloodMeter


def test_twenty_thousand_an_hour_are_no_flood_yet() -> None:
    """One more is; an hour later it is over."""
    meter = FloodMeter()
    meter.note(20_000, had_to_forget=False, now=0.0)
    assert not meter.is_flooded(1.0)
    meter.note(1, had_to_forget=False, now=2.0)
    assert (meter.count(3599.0), meter.is_flooded(3599.0)) == (20_001, True)
    assert (meter.count(3600.0), meter.is_flooded(3600.0)) == (1, False)


def test_room_that_had_to_be_made_is_a_flood() -> None:
    """However few they are: what they push out is the record of older ones."""
    meter = FloodMeter()
    assert not meter.is_flooded(0.0)
    meter.note(0, had_to_forget=True, now=10.0)
    assert meter.is_flooded(3609.0)
    assert not meter.is_flooded(3610.0)
