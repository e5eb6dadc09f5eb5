"""What a runtime token says of itself."""

import pytest

from rensei_daemon.core.worker import Worker, claims, organisation


def test_claims_are_read_without_verification() -> None:
    """The payload of a JWT is decoded, whatever its signature."""
    assert claims("e30.eyJvcmciOiJvcmdfMSJ9.x") == {"org": "org_1"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "rsk_live_1",
        "a.b.c",
        "e30.W10.x",
        "e30.!!.x",
        "e30.é.x",
        "a.b.c.d",
        "..",
        "a.e30",
    ],
)
def test_what_is_no_token_claims_nothing(token: str) -> None:
    """Anything but a JWT with an object inside has no claims, and is no error."""
    assert claims(token) == {}


def test_a_worker_does_not_show_its_token() -> None:
    """The token is not in the worker's repr."""
    assert "s3cr3t" not in repr(Worker(id="wkr_1", machine_id="mid_1", token="s3cr3t"))


@pytest.mark.parametrize(
    ("token", "org"),
    [("e30.eyJvcmciOiJvcmdfMSJ9.x", "org_1"), ("e30.eyJvcmciOjF9.x", ""), ("", "")],
)
def test_a_token_speaks_for_an_organisation(token: str, org: str) -> None:
    """Or for none, if it names none."""
    assert organisation(token) == org
