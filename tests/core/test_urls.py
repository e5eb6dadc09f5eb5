"""Which URLs lead to this host."""

import pytest

from rensei_daemon.core.urls import (
    address_of,
    host_in,
    is_address,
    is_host,
    is_loopback,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:9/x",
        "http://localhost",
        "http://platform.localhost:1",
        "http://LOCALHOST",
        "http://localhost.:80",
        "http://127.1:8080",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://2130706433",
        "http://[::ffff:127.0.0.1]",
        "http://[0:0:0:0:0:0:0:1]",
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
        "http://10.1",
        "http://[::ffff:10.0.0.1]",
        "http://[broken",
        "http://localhost@example.com",
        "localhost",
        "",
    ],
)
def test_elsewhere(url: str) -> None:
    """Look-alikes and unreadable URLs lead elsewhere."""
    assert not is_loopback(url)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.1", "10.0.0.1"),
        ("10.0.258", "10.0.1.2"),
        ("012.0.0.1", "10.0.0.1"),
        ("0xA.0.0.0x1", "10.0.0.1"),
        ("167772161", "10.0.0.1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("[fd00::1]", "fd00::1"),
        ("fd00:0:0:0:0:0:0:1", "fd00::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("10.0.0.256", None),
        ("10.256.1", None),
        ("10.0.0.0.1", None),
        ("4294967296", None),
        ("08.0.0.1", None),
        ("1e3", None),
        ("", None),
        ("a.1", None),
        ("9" * 100_000, None),
    ],
)
def test_every_spelling_of_an_address_is_read(host: str, address: str | None) -> None:
    """As the system reads it when it connects; a name is none."""
    found = address_of(host)
    assert (found and str(found)) == address


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://u:p@app.rensei.ai:8443/x", "app.rensei.ai:8443"),
        ("https://[::1]:9/x", "[::1]:9"),
        ("https://[broken", ""),
        ("https://a b/x", ""),
        ("nothing", ""),
    ],
)
def test_the_host_of_a_foreign_url(url: str, host: str) -> None:
    """Only characters of a host, and never a password."""
    assert host_in(url) == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("127.1", False), ("localhost", False)],
)
def test_an_address_is_one_in_its_regular_spelling(host: str, expected: bool) -> None:
    """What only some resolvers take is not."""
    assert is_address(host) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("platform.acme.test", True),
        ("worker_host", True),
        ("10.0.0.1", True),
        ("10.0.0.256", False),
        ("::1", True),
        ("::g", False),
        ("bücher.test", True),
        ("xn--bcher-kva.test", True),
        ("www.xn--a", False),
        ("xn--a", False),
        ("a..ü", False),
        ("", False),
        ("two words", False),
        ("a" * 253, True),
        ("a" * 254, False),
    ],
)
def test_a_host_is_what_can_be_looked_up_or_an_address(name: str, expected: bool) -> None:
    """Such as an international name, but not an address with a number too large."""
    assert is_host(name) is expected
