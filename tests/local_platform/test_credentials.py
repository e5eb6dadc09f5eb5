"""Which credentials a session sees, and what a rotated value looks like."""

import re

import pytest

from rensei_daemon.local_platform.credentials import Scope, fresh_value, merged
from rensei_daemon.local_platform.records import Credential


def credential(
    value: str,
    *,
    name: str = "A",
    project_id: str | None = None,
    env_name: str | None = None,
) -> Credential:
    """One credential, whose id is its value."""
    return Credential(
        id=value,
        org_id="org_1",
        kind="k",
        name=name,
        value=value,
        project_id=project_id,
        env_name=env_name,
    )


ORG = credential("org")
PROJECT = credential("project", project_id="proj_a")
ENVIRONMENT = credential("environment", env_name="production")
BOTH = credential("both", project_id="proj_a", env_name="production")


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        (Scope(None, "staging"), "org"),
        (Scope("proj_b", "staging"), "org"),
        (Scope("proj_a", "staging"), "project"),
        (Scope("proj_b", "production"), "environment"),
        (Scope("proj_a", "production"), "both"),
    ],
)
def test_the_narrowest_credential_wins(scope: Scope, value: str) -> None:
    """Environment wins over project, project over org, whatever order they came in."""
    everything = [BOTH, ENVIRONMENT, PROJECT, ORG]
    assert merged(everything, scope)["A"].value == value


def test_blocked_names_are_left_out_in_silence() -> None:
    """A name that belongs to the platform itself never reaches a session."""
    everything = [credential("a"), credential("b", name="WORKER_API_KEY")]
    assert list(merged(everything, Scope(None, "production"))) == ["A"]


@pytest.mark.parametrize(
    ("old", "shape"),
    [
        ("ghp_aB3", r"ghp_[a-z][A-Z][0-9]"),
        ("sk-live-a1", r"sk-live-[a-z][0-9]"),
        ("Pass word!", r"[A-Z][a-z]{3} [a-z]{4}!"),
        ("1_", r"[0-9]_"),
        ("", r"[0-9]{8}"),
        ("---", r"---[0-9]{8}"),
    ],
)
def test_a_fresh_value_has_the_old_shape(old: str, shape: str) -> None:
    """A rotated value differs, and could be mistaken for one of the same kind."""
    fresh = fresh_value(old)
    assert fresh != old
    assert re.fullmatch(shape, fresh)


def test_a_fresh_value_differs_even_when_chance_says_otherwise() -> None:
    """When the first draw is the old value, another one is drawn."""
    draws = iter("3" + "7")
    assert fresh_value("a_3", lambda _: next(draws)) == "a_7"
