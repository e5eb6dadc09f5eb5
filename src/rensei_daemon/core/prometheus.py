"""Metrics as values, and as the text that Prometheus reads (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum

from rensei_daemon.core.counters import Histogram
from rensei_daemon.fast_dataclass import dataclass, field

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """The type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """A number with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    """Appended to the name, for the samples of a histogram."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; without samples it is left out of the text."""

    name: str
    kind: Kind
    help: str
    """One sentence."""
    samples: tuple[Sample, ...]


def buckets(durations: Histogram, **labels: str) -> Iterator[Sample]:
    """Return the samples of a histogram."""
    for bucket, count in durations.cumulative_buckets:
        yield Sample(count, {**labels, "le": _number(bucket)}, "_bucket")
    yield Sample(durations.count, {**labels, "le": "+Inf"}, "_bucket")
    yield Sample(durations.total_seconds, labels, "_sum")
    yield Sample(durations.count, labels, "_count")


def one(value: float | None, **labels: str) -> Iterator[Sample]:
    """Yield one sample; none if the value is unknown."""
    if value is not None:
        yield Sample(value, labels)


def one_of(words: Iterable[str], current: str, label: str, **labels: str) -> list[Sample]:
    """Return 1 for the current word and 0 for the others."""
    return [Sample(int(word == current), {**labels, label: word}) for word in words]


def seconds_since_epoch(time: datetime | None) -> float | None:
    """Return a time as Prometheus counts it; None if there is none."""
    return None if time is None else round(time.timestamp(), 3)


def render(metrics: Iterable[Metric]) -> str:
    """Return the text of the metrics, each below its `# HELP` and `# TYPE`."""
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
