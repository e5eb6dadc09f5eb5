"""The platform's verdict on this host."""

import pytest

from rensei_daemon.core.host_status import HostStatus


@pytest.mark.parametrize(
    ("status", "suspends", "is_ok"),
    [
        ("", False, False),
        ("ok", False, True),
        (" OK ", False, True),
        ("pool_deleted", True, False),
        ("pool_draining", True, False),
        ("pool_disabled", True, False),
        (" Pool_Paused", True, False),
        ("unauthorized", False, False),
        ("something_new", False, False),
    ],
)
def test_only_a_pools_trouble_suspends(status: str, suspends: bool, is_ok: bool) -> None:
    """Any `pool_…` does, known or not, in any case; nothing else does."""
    host = HostStatus(status=status)
    assert (host.suspends_claiming, host.is_ok) == (suspends, is_ok)


@pytest.mark.parametrize(
    ("status", "is_objection"),
    [("", False), ("ok", False), ("pool_deleted", False), (" Unauthorized ", True)],
)
def test_what_is_neither_ok_nor_about_the_pool_is_an_objection(
    status: str, is_objection: bool
) -> None:
    """Even if the status is unknown."""
    assert HostStatus(status=status).is_objection is is_objection
