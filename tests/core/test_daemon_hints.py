"""Hints with the commands that work for one daemon."""

import pytest

from rensei_daemon.core.hints import DaemonAddress

USUAL = DaemonAddress()
BY_HAND = DaemonAddress(config="/a b/c.toml", systemctl=None, pid=812)
OF_A_USER = DaemonAddress(systemctl="systemctl --user agent.service")


@pytest.mark.parametrize(
    ("daemon", "hint", "said"),
    [
        (USUAL, "see why: rensei-daemon logs -n 50", "see why: rensei-daemon logs -n 50"),
        (USUAL, "systemctl restart rensei-daemon", "systemctl restart rensei-daemon"),
        (
            BY_HAND,
            "rensei-daemon sync, then: rensei-daemon logs --session b",
            "rensei-daemon sync --config '/a b/c.toml', then: "
            "rensei-daemon logs --config '/a b/c.toml' --session b",
        ),
        (
            BY_HAND,
            "see: rensei-daemon config history",
            "see: rensei-daemon config history --config '/a b/c.toml'",
        ),
        (
            BY_HAND,
            "put the new key there, then: systemctl restart rensei-daemon",
            "put the new key there, then: end the daemon (kill 812), then: "
            "rensei-daemon run --config '/a b/c.toml'",
        ),
        (
            BY_HAND,
            "start it: systemctl start rensei-daemon",
            "start it: rensei-daemon run --config '/a b/c.toml'",
        ),
        (BY_HAND, "systemctl stop rensei-daemon", "end the daemon (kill 812)"),
        (
            BY_HAND,
            "then: systemctl reload rensei-daemon",
            "then: rensei-daemon reload --config '/a b/c.toml'",
        ),
        (
            DaemonAddress(config="/c.toml"),
            "check it with: rensei-daemon config check /c.toml",
            "check it with: rensei-daemon config check /c.toml",
        ),
        (
            BY_HAND,
            "rensei-daemon config check '/a b/c.toml'",
            "rensei-daemon config check '/a b/c.toml'",
        ),
        (BY_HAND, "rensei-daemon --version", "rensei-daemon --version"),
        (BY_HAND, "rensei-daemon install", "rensei-daemon install"),
        (
            OF_A_USER,
            "systemctl restart rensei-daemon; systemctl start other",
            "systemctl --user restart agent.service; systemctl start other",
        ),
    ],
)
def test_a_hint_names_what_works(daemon: DaemonAddress, hint: str, said: str) -> None:
    """`--config` where it is needed, and systemctl only where a unit runs the daemon."""
    assert daemon.hint(hint) == said
    assert daemon.hint(said) == said
