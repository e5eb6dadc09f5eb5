"""A strict reader of Prometheus' text format 0.0.4: what it lets pass, any reader takes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEAD = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')
_VALUE = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
_UNESCAPED = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    """One metric."""

    kind: str
    help: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)
    """By (suffix, labels)."""

    def value(self, suffix: str = "", /, **labels: str) -> float:
        """Return the one number with these labels."""
        return self.samples[suffix, frozenset(labels.items())]


def read(text: str) -> dict[str, Family]:
    """Return every metric by name; AssertionError with the line that is not right."""
    assert text.endswith("\n")
    assert "\r" not in text
    families: dict[str, Family] = {}
    name, help = "", ""
    for line in text.removesuffix("\n").split("\n"):
        head = _HEAD.fullmatch(line)
        if head and head[1] == "HELP":
            name, help = head[2], head[3]
            assert name not in families, line
        elif head:
            assert head[2] == name, line
            assert name not in families, line
            assert head[3] in _SUFFIXES, line
            families[name] = Family(head[3], help)
        else:
            assert name in families, line
            _take(line, name, families[name])
    for name, family in families.items():
        _check(name, family)
    return families


def _take(line: str, name: str, family: Family) -> None:
    sample = _SAMPLE.fullmatch(line)
    assert sample, line
    assert _VALUE.fullmatch(sample[3]), line
    assert sample[1].startswith(name), line
    suffix = sample[1].removeprefix(name)
    assert suffix in _SUFFIXES[family.kind], line
    pairs = list(_labels(sample[2] or "", line))
    labels = frozenset(pairs)
    assert len(dict(pairs)) == len(pairs), line
    assert (suffix, labels) not in family.samples, line
    family.samples[suffix, labels] = float(sample[3])


def _labels(text: str, line: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        label = _LABEL.match(text, at)
        assert label, line
        assert not (label[3] and label.end() == len(text)), line
        yield label[1], re.sub(r'\\[\\n"]', lambda m: _UNESCAPED[m[0]], label[2])
        at = label.end()


def _check(name: str, family: Family) -> None:
    assert family.samples, name
    assert family.help[0].isupper() or family.help[0].isdigit(), name
    assert family.help.endswith("."), name
    assert (family.kind == "counter") == name.endswith("_total"), name
    if family.kind != "gauge":
        assert all(value >= 0 for value in family.samples.values()), name
    if family.kind == "histogram":
        _check_histogram(name, family)


def _check_histogram(name: str, family: Family) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (suffix, labels), value in family.samples.items():
        if suffix == "_bucket":
            bound = dict(labels)["le"]
            rest = frozenset((k, v) for k, v in labels if k != "le")
            series.setdefault(rest, []).append((float(bound), value))
    for labels, buckets in series.items():
        assert buckets == sorted(buckets), name
        assert [count for _, count in buckets] == sorted(count for _, count in buckets), (
            name
        )
        assert buckets[-1] == (float("inf"), family.samples["_count", labels]), name
        assert ("_sum", labels) in family.samples, name
