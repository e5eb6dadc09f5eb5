"""What we ship for monitoring, held against the daemon's metrics and Prometheus' tool."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from busy_daemon import NOW, busy_board, busy_figures
from rig.exposition import Family, read

from rensei_daemon.core.board import report
from rensei_daemon.core.conditions import Severity
from rensei_daemon.core.metrics import metrics
from rensei_daemon.core.prometheus import render

REPOSITORY = Path(__file__).parents[2]
MONITORING = REPOSITORY / "packaging/monitoring"
RULES = MONITORING / "rensei-daemon.rules.yml"
TESTS = MONITORING / "rensei-daemon.test.yml"
DASHBOARD = MONITORING / "grafana-dashboard.json"
PAGE = REPOSITORY / "docs/monitoring.md"

OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_TARGETS = {"job", "instance"}
_SELECTOR = re.compile(r"\b(up|rensei_daemon_\w+|process_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=|!=|=~|!~)"([^"]*)"')


def alerts() -> dict[str, str]:
    """Return the expression of each alert."""
    found = re.findall(
        r"- alert: (\w+)\n +expr: (?:>-)?(.*?)\n +(?:for|labels):",
        RULES.read_text(),
        re.DOTALL,
    )
    return dict(found)


def panels() -> list[str]:
    """Return every expression of the dashboard, as Prometheus gets it."""
    dashboard = json.loads(DASHBOARD.read_text())
    exprs = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    return [e.replace("$__rate_interval", "5m").replace("$instance", ".*") for e in exprs]


@pytest.fixture(scope="module")
def told() -> dict[str, Family]:
    """Every metric, as the daemon tells it."""
    return read(render(metrics(report(busy_board(), NOW), busy_figures())))


def labels_of(told: dict[str, Family]) -> dict[str, dict[str, set[str]]]:
    """Return the labels of every series that can be asked for, with the values seen."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, family in told.items():
        for suffix, labels in family.samples:
            known = found.setdefault(name + suffix, {})
            for label, value in labels:
                known.setdefault(label, set()).add(value)
    found["rensei_daemon_conditions"]["severity"] |= set(Severity)
    return found


def mistakes(expr: str, known: dict[str, dict[str, set[str]]]) -> list[str]:
    """Name what an expression asks for that no daemon tells."""
    wrong = []
    for name, matchers in _SELECTOR.findall(expr):
        if name not in known and name not in OF_PROMETHEUS:
            wrong.append(name)
        for label, operator, value in _MATCHER.findall(matchers):
            values = known.get(name, {}).get(label)
            if values is None and label not in OF_TARGETS:
                wrong.append(f"{name} has no label {label}")
            elif values is not None and operator in ("=", "!=") and value not in values:
                wrong.append(f"{name} has no {label} {value}")
    return wrong


def test_every_expression_asks_for_what_is_told(told: dict[str, Family]) -> None:
    """A name, a label or a value that no daemon has would never fire, and never show."""
    known = labels_of(told)
    exprs = [*alerts().values(), *panels()]
    assert len(exprs) >= 50
    assert [wrong for expr in exprs for wrong in mistakes(expr, known)] == []


@pytest.mark.parametrize(
    ("expr", "wrong"),
    [
        ("rate(rensei_daemon_beats_total[5m])", "rensei_daemon_beats_total"),
        ('rensei_daemon_state{status="ok"}', "rensei_daemon_state has no label status"),
        ('rensei_daemon_state{state="bad"}', "rensei_daemon_state has no state bad"),
    ],
)
def test_a_mistake_would_be_seen(told: dict[str, Family], expr: str, wrong: str) -> None:
    """The check above is not deaf."""
    assert mistakes(expr, labels_of(told)) == [wrong]


def test_every_metric_of_ours_is_on_the_dashboard(told: dict[str, Family]) -> None:
    """What is not shown is for alerts, or for expressions of one's own."""
    shown = " ".join(panels())
    ours = {name for name in told if name.startswith("rensei_daemon_")}
    missing = {name for name in ours if not re.search(rf"\b{name}(_bucket)?\b", shown)}
    assert missing == {
        "rensei_daemon_heartbeat_interval_seconds",
        "rensei_daemon_log_lines_dropped_total",
        "rensei_daemon_session_generation",
    }


def test_every_alert_is_of_one_instance() -> None:
    """An aggregate keeps the instance; only what nobody tells has none."""
    for name, expr in alerts().items():
        aggregates = re.findall(r"\b(?:max|min|sum) by \(([^)]*)\)", expr)
        assert all("instance" in by.split(", ") for by in aggregates), name
        assert bool(aggregates) != (name == "RenseiDaemonAbsent"), name


def test_every_alert_is_tested_and_explained() -> None:
    """It fires in a test, is quiet a moment before, and has a row on the page."""
    names = list(alerts())
    assert len(names) == RULES.read_text().count("- alert: ")
    tests = TESTS.read_text()
    for name in names:
        asked = re.findall(rf'ALERTS\{{alertname="{name}",alertstate="firing"\}}', tests)
        assert len(asked) == 2, name
    rows = re.findall(r"^\| `(RenseiDaemon\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == names


@pytest.mark.needs("promtool")
@pytest.mark.slow
def test_the_rules_do_what_they_say() -> None:
    """By Prometheus' own tool: their grammar, and each alert over time."""
    for words in (("check", "rules", RULES.name), ("test", "rules", TESTS.name)):
        done = subprocess.run(
            ["promtool", *words],
            cwd=MONITORING,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_every_expression_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    """Each is taken for a recording rule; JSON is YAML."""
    rules = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(panels())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    words = ["promtool", "check", "rules", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_imported() -> None:
    """Every panel has a place of its own, a title, and the data source that is chosen."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in panels}) == len(panels)
