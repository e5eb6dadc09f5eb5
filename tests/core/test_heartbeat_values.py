"""A beat and a session, as values."""

from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.session import Session


def test_acks_name_every_mutation_they_speak_of() -> None:
    """Those applied, then those that failed."""
    acks = Acks(applied=("m1", "m2"), failures=(("m3", "no"),))
    assert acks.ids == ("m1", "m2", "m3")


def test_a_session_is_of_production_unless_it_says_otherwise() -> None:
    """And of the organisation the host is registered with."""
    session = Session(id="build", project_id="p")
    assert (session.env_name, session.org_id) == ("production", "")
