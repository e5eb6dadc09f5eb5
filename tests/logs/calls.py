"""Every event that the code can log, found by reading the code.

What it does not understand it refuses, so that no event goes past the catalogue: a
logger by another name, an event's name in a variable, fields that are spread in.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/rensei_daemon"
PLATFORM = SOURCE.with_name("rensei_platform")
LEVELS = ("debug", "info", "warning", "error", "critical")
METHODS = {**{level: level for level in LEVELS}, "exception": "error"}
REPORTS = {
    "report_error": {"count", "error", "hint"},
    "report_failure": {"count"},
    "report_event": {"count"},
    "report_recovery": {"count", "seconds"},
}
"""The methods of a `FailureReporter`, and the fields that they add."""
OPTIONS = ("alarm", "level", "message")
"""What they are given and do not log."""
LIMITED = ("log_limit", "._limit")
"""How a `LogLimit` is called, which adds `suppressed` and does not log `about`."""
OURS = ("timestamp", "level", "event", "exception")
"""Every event's own; a field of that name would take its place."""


@dataclass
class Found:
    """One event, with its levels and fields."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Logger:
    """A logger, or one or two of its methods, with the levels."""

    levels: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()


class UnclearError(Exception):
    """The code logs in a way that cannot be read here."""


def events(source: Path = SOURCE) -> dict[str, Found]:
    """Return what a package logs, by event."""
    found: dict[str, Found] = defaultdict(Found)
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for name, level, fields in calls(tree, str(path.relative_to(source))):
            found[name].levels.add(level)
            found[name].fields |= fields
    return dict(found)


def calls(tree: ast.Module, where: str) -> Iterator[tuple[str, str, set[str]]]:
    """Yield (event, level, fields) of every call, and every event that is spelt out."""
    if where in ("failure_reporter.py", "log_limit.py"):
        return  # its events are found where they are handed to it
    yield from _Scope(where).read(tree.body)
    if where.startswith("logs/"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                yield from _spelt_out(node)


def _spelt_out(node: ast.Dict) -> Iterator[tuple[str, str, set[str]]]:
    entries = {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    name, level = entries.get("event"), entries.get("level")
    if isinstance(name, ast.Constant) and name.value:
        levels = [str(level.value)] if isinstance(level, ast.Constant) else LEVELS
        for each in levels:
            yield str(name.value), each, set(entries) - set(OURS)


def _by_name(text: str) -> Logger | None:
    """Return the logger that is called so everywhere."""
    if text in ("structlog.get_logger()", "log") or text.endswith("._log"):
        return Logger()
    return Logger(fields=frozenset({"suppressed"})) if text.endswith(LIMITED) else None


def is_report(node: ast.Call) -> bool:
    """Whether this hands an event to a `FailureReporter`."""
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in REPORTS
        and bool(node.args)
    )


class _Scope:
    """The loggers known by name at one place of the code."""

    def __init__(self, where: str, known: dict[str, Logger] | None = None) -> None:
        self.where = where
        self.known = dict(known or {})

    def read(self, body: list[ast.stmt]) -> Iterator[tuple[str, str, set[str]]]:
        # What a method keeps in `self` the others may use, before or behind it.
        for node in body:
            if isinstance(node, ast.FunctionDef):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Assign):
                        self._register_secrets(inner, only_attributes=True)
        for node in body:
            yield from self._read(node)

    def _read(self, node: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _Scope(self.where, self.known).read(node.body)
            return
        if isinstance(node, ast.Assign):
            self._register_secrets(node)
        if isinstance(node, ast.Call):
            yield from self._call(node)
        for child in ast.iter_child_nodes(node):
            yield from self._read(child)

    def _register_secrets(self, node: ast.Assign, *, only_attributes: bool = False) -> None:
        value = node.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "FailureReporter":
            value = value.args[0] if value.args else value
        logger = self._logger(value)
        for target in node.targets:
            name = ast.unparse(target)
            if logger is not None and (not only_attributes or "." in name):
                self.known[name] = logger

    def _logger(self, node: ast.expr) -> Logger | None:
        text = ast.unparse(node)
        if text in self.known:
            return self.known[text]
        if (by_name := _by_name(text)) is not None:
            return by_name
        if isinstance(node, ast.IfExp):
            one, other = self._logger(node.body), self._logger(node.orelse)
            if one and other:
                return Logger(one.levels | other.levels, one.fields | other.fields)
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            logger = self._logger(node.value)
            return logger and Logger(frozenset({METHODS[node.attr]}), logger.fields)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            logger = self._logger(node.func.value)
            if logger and node.func.attr == "bind":
                return Logger(logger.levels, logger.fields | self._fields(node))
        return None

    def _fields(self, node: ast.Call) -> frozenset[str]:
        names = {keyword.arg for keyword in node.keywords}
        if None in names or names & set(OURS):
            raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
        return frozenset(name for name in names if name)

    def _call(self, node: ast.Call) -> Iterator[tuple[str, str, set[str]]]:
        for word in (*node.args, *(keyword.value for keyword in node.keywords)):
            handed_on = self._logger(word)
            if handed_on is not None and handed_on.levels:  # who knows what becomes of it
                raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
        if is_report(node):
            yield from self._report(node)
            return
        logger = self._logger(node.func)
        if logger is None or not logger.levels:
            is_like_one = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
            if is_like_one and not self.where.startswith("logs/"):
                raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
            return
        is_limited = ast.unparse(node.func).rpartition(".")[0].endswith(LIMITED)
        name = node.args[0] if len(node.args) == 1 else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
        fields = logger.fields | self._fields(node)
        for level in logger.levels:
            yield name.value, level, set(fields - {"about"} if is_limited else fields)

    def _report(self, node: ast.Call) -> Iterator[tuple[str, str, set[str]]]:
        assert isinstance(node.func, ast.Attribute)
        name, logger = node.args[0], self._logger(node.func.value) or Logger()
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
        options = {k.arg: k.value for k in node.keywords if k.arg in OPTIONS}
        node.keywords = [k for k in node.keywords if k.arg not in OPTIONS]
        fields = self._fields(node) | REPORTS[node.func.attr] | logger.fields
        level = options.get("level", ast.Constant("warning"))
        if not isinstance(level, ast.Constant):
            raise UnclearError(f"{self.where}:{node.lineno}: {ast.unparse(node)}")
        is_over = node.func.attr == "report_recovery"
        for each in ("info",) if is_over else (METHODS[str(level.value)], "debug"):
            yield name.value, each, set(fields)
