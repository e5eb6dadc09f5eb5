"""Which URLs lead to this host."""

import pytest

from rensei_daemon.core.urls import is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:9/x",
        "http://localhost",
        "http://platform.localhost:1",
        "http://LOCALHOST",
    ],
)
def test_loopback(url: str) -> None:
    """Loopback addresses, `localhost` and the names below it lead here."""
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://[::2]",
        "http://[broken",
        "http://localhost@example.com",
        "localhost",
        "",
    ],
)
def test_elsewhere(url: str) -> None:
    """Look-alikes and unreadable URLs lead elsewhere."""
    assert not is_loopback(url)
