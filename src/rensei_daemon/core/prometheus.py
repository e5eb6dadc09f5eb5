"""Metrics as values, and as the text that Prometheus reads (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rensei_daemon.core.counters import Histogram

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """What a metric's numbers are."""

    COUNTER = "counter"
    """Only grows, until a restart."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    """What a histogram's samples append to its name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A name, what it means, and its numbers; without any it is not told of."""

    name: str
    kind: Kind
    help: str
    """One sentence."""
    samples: tuple[Sample, ...]


def counter(name: str, help: str, samples: Iterable[Sample]) -> Metric:
    """Make a metric that only grows; its name ends in `_total`."""
    return Metric(name, Kind.COUNTER, help, tuple(samples))


def gauge(name: str, help: str, samples: Iterable[Sample]) -> Metric:
    """Make a metric that comes and goes."""
    return Metric(name, Kind.GAUGE, help, tuple(samples))


def histogram(name: str, help: str, series: Mapping[str, Histogram], label: str) -> Metric:
    """Make a histogram of durations: one for each value of the label, or "" for none."""
    samples: list[Sample] = []
    for value, durations in sorted(series.items()):
        labels = {label: value} if label else {}
        samples += (
            Sample(count, {**labels, "le": _number(bucket)}, "_bucket")
            for bucket, count in durations.cumulative_buckets
        )
        samples += (
            Sample(durations.count, {**labels, "le": "+Inf"}, "_bucket"),
            Sample(durations.total_seconds, labels, "_sum"),
            Sample(durations.count, labels, "_count"),
        )
    return Metric(name, Kind.HISTOGRAM, help, tuple(samples))


def one(value: float | None, **labels: str) -> Iterator[Sample]:
    """Return the one number there is; none, where it is not known."""
    if value is not None:
        yield Sample(value, labels)


def one_of(words: Iterable[str], current: str, label: str, **labels: str) -> list[Sample]:
    """Say which of the words holds: 1 for that one, 0 for the others."""
    return [Sample(int(word == current), {**labels, label: word}) for word in words]


def seconds_since_epoch(time: datetime | None) -> float | None:
    """Return a time as Prometheus counts it."""
    return None if time is None else round(time.timestamp(), 3)


def render(metrics: Iterable[Metric]) -> str:
    """Spell the metrics, each under its `# HELP` and `# TYPE`."""
    lines: list[str] = []
    for metric in metrics:
        if metric.samples:
            lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += (_line(metric.name, sample) for sample in metric.samples)
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(
        f'{label}="{_escaped(value).replace(_QUOTE, _ESCAPED_QUOTE)}"'
        for label, value in sample.labels.items()
    )
    braces = f"{{{labels}}}" if labels else ""
    return f"{name}{sample.suffix}{braces} {_number(sample.value)}"


_QUOTE, _ESCAPED_QUOTE = '"', '\\"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
