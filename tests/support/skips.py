"""The pytest plugin that skips what the machine lacks the means for, and tells it once."""

import os

import pytest
from needs import ALLOWED, missing_in, need, refused, summary


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "needs(*names): skip unless all are here: needs.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test before any fixture of it is set up."""
    for marker in item.iter_markers("needs"):
        need(*marker.args)


def _reasons(config: pytest.Config) -> list[str]:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    skipped = terminal.stats.get("skipped", []) if terminal else []
    return [report.longrepr[2] for report in skipped]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a skip that it does not allow."""
    missing = missing_in(_reasons(session.config))
    if refused(missing, os.environ.get(ALLOWED)) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in a line for each need what was skipped, and what would bring it."""
    missing = missing_in(_reasons(config))
    if not missing:
        return
    terminalreporter.section("skipped: what this machine lacks")
    for line in summary(missing):
        terminalreporter.line(line)
    if wrong := refused(missing, os.environ.get(ALLOWED)):
        terminalreporter.line(
            f"FAILED: {ALLOWED} does not list {', '.join(wrong)}", red=True
        )
