"""The text that Prometheus reads, to the character."""

from collections.abc import Iterable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from rig.exposition import read

from rensei_daemon.core.counters import Histogram
from rensei_daemon.core.prometheus import (
    Kind,
    Metric,
    Sample,
    buckets,
    one,
    one_of,
    render,
    seconds_since_epoch,
)


def gauge(name: str, help: str, samples: Iterable[Sample]) -> Metric:
    """Make a gauge."""
    return Metric(name, Kind.GAUGE, help, tuple(samples))


def test_each_sort_of_metric_is_spelt_as_the_format_has_it() -> None:
    """Help, type and numbers; whole ones without a point, others in full."""
    durations = Histogram()
    durations.observe(0.0015)
    durations.observe(70)
    text = render(
        [
            gauge("a_seconds", "One.", one(1763985600.123)),
            Metric("b_total", Kind.COUNTER, "Two.", (Sample(3, {"x": "1", "y": "2"}),)),
            gauge("c_state", "Three.", one_of(("on", "off"), "off", "state", of="it")),
            Metric(
                "d_seconds", Kind.HISTOGRAM, "Four.", tuple(buckets(durations, kind="hook"))
            ),
        ]
    )
    lines = text.splitlines()
    assert lines[:11] == [
        "# HELP a_seconds One.",
        "# TYPE a_seconds gauge",
        "a_seconds 1763985600.123",
        "# HELP b_total Two.",
        "# TYPE b_total counter",
        'b_total{x="1",y="2"} 3',
        "# HELP c_state Three.",
        "# TYPE c_state gauge",
        'c_state{of="it",state="on"} 0',
        'c_state{of="it",state="off"} 1',
        "# HELP d_seconds Four.",
    ]
    assert 'd_seconds_bucket{kind="hook",le="0.001"} 0' in lines
    assert 'd_seconds_bucket{kind="hook",le="0.0025"} 1' in lines
    assert lines[-4:] == [
        'd_seconds_bucket{kind="hook",le="60"} 1',
        'd_seconds_bucket{kind="hook",le="+Inf"} 2',
        'd_seconds_sum{kind="hook"} 70.0015',
        'd_seconds_count{kind="hook"} 2',
    ]
    assert set(read(text)) == {"a_seconds", "b_total", "c_state", "d_seconds"}


def test_what_has_no_number_is_not_told_of() -> None:
    """A type line without a sample would say that there is something."""
    assert render([gauge("a", "Nothing.", one(None)), gauge("b", "None.", [])]) == ""


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
def test_a_label_may_hold_anything(value: str) -> None:
    """Quotes, backslashes and line breaks are read back as they were."""
    text = render([gauge("a", "Some.", one(1, label=value))])
    assert read(text)["a"].value(label=value) == 1


def test_help_stays_on_its_line() -> None:
    """A line break in it is spelt out."""
    assert render([gauge("a", "x\\y\nz.", one(1))]).startswith(
        "# HELP a x\\\\y\\nz.\n# TYPE"
    )


def test_times_are_seconds_since_the_epoch() -> None:
    """To the millisecond; none where there is none."""
    noon = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
    assert seconds_since_epoch(noon) == 1795521600.123
    assert seconds_since_epoch(None) is None
