"""The pages of events list exactly those of the code, the daemon's and the platform's."""

import ast
import re
from pathlib import Path

import pytest

from logs.calls import LEVELS, PLATFORM, SOURCE, UnclearError, calls, events
from rensei_daemon.cli.log_hints import known_events
from rensei_daemon.logs.systemd_journal import message_id

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "events.md").read_text()
PAGES = {SOURCE: TEXT, PLATFORM: (DOCS / "control-plane-events.md").read_text()}

ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| ([^|]+) \|$", re.MULTILINE)


def catalogue(text: str = TEXT) -> dict[str, tuple[set[str], set[str]]]:
    """Return (levels, fields) by event, as the page has them."""
    return {
        name: (
            set(LEVELS) if levels == "any" else set(levels.split(", ")),
            set(re.findall(r"`([^`]+)`", fields)),
        )
        for name, levels, fields, _ in ROW.findall(text)
    }


@pytest.mark.parametrize("source", PAGES)
def test_every_event_is_there(source: Path) -> None:
    """Each has its levels and fields, and none is obsolete."""
    assert catalogue(PAGES[source]) == {
        name: (found.levels, found.fields) for name, found in events(source).items()
    }


@pytest.mark.parametrize(("source", "least"), [(SOURCE, 50), (PLATFORM, 20)])
def test_every_event_is_there_once(source: Path, least: int) -> None:
    """A name is in one table, and has dots."""
    names = [row[0] for row in ROW.findall(PAGES[source])]
    assert len(names) == len(set(names)) > least
    assert [n for n in names if not re.fullmatch(r"[a-z]+\.[a-z_]+", n)] == []


def test_message_ids() -> None:
    """The page has every event's id, and ids do not change."""
    listed = dict(re.findall(r"^([a-z_.]+) +([0-9a-f]{32})$", TEXT, re.MULTILINE))
    assert listed == {name: message_id(name) for name in catalogue()}
    assert message_id("mutation.failed") == "821e2a51269850308478bac4f3429979"


def test_the_command_line_knows_them() -> None:
    """`logs --event` suggests the names of the page."""
    assert set(known_events()) == set(catalogue())


UNCLEAR = """\
import structlog
_log = structlog.get_logger()
class A:
    def __init__(self):
        self._log = _log.bind(session_id="a")
    def tell(self, name, fields, other, told):
        {line}
"""


@pytest.mark.parametrize(
    "line",
    [
        "_log.info(name)",
        '_log.info(f"{name}.failed")',
        '_log.info("a.b", **fields)',
        '_log.info("a.b", level="odd")',
        'self._log.bind(**fields).info("a.b")',
        'other.warning("a.b")',
        '_log.warning("a.b", name)',
        "(_log.info if told else _log.debug)(name)",
        'later(partial(_log.info, "a.b"))',
        "other.report_failure(name)",
        'other.report_failure("a.b", level=name)',
        'other.report_error("a.b", error, **fields)',
    ],
)
def test_what_cannot_be_read_is_refused(line: str) -> None:
    """A call that cannot be compared with the page is an error."""
    tree = ast.parse(UNCLEAR.format(line=line))
    with pytest.raises(UnclearError):
        list(calls(tree, "tasks/a.py"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('_log.info("a.b", n=1)', [("a.b", "info", {"n"})]),
        ('self._log.info("a.b", n=1)', [("a.b", "info", {"n", "session_id"})]),
        ('_log.exception("a.b")', [("a.b", "error", set())]),
        (
            'log = self._log.warning if told else self._log.debug\n        log("a.b")',
            [("a.b", "debug", {"session_id"}), ("a.b", "warning", {"session_id"})],
        ),
        ('tell = _log.bind(x=1)\n        tell.info("a.b")', [("a.b", "info", {"x"})]),
        (
            'other.log_limit.warning("a.b", about="c", n=1)',
            [("a.b", "warning", {"n", "suppressed"})],
        ),
        (
            'other.report_failure("a.b", level="error", n=1)',
            [("a.b", "debug", {"count", "n"}), ("a.b", "error", {"count", "n"})],
        ),
        (
            'other = FailureReporter(self._log)\n        other.report_recovery("a.b")',
            [("a.b", "info", {"count", "seconds", "session_id"})],
        ),
    ],
)
def test_what_can_be_read(line: str, expected: list[tuple[str, str, set[str]]]) -> None:
    """Names bound to a logger or its methods are resolved."""
    tree = ast.parse(UNCLEAR.format(line=line))
    found = list(calls(tree, "tasks/a.py"))
    assert sorted(found, key=lambda call: call[1]) == expected
