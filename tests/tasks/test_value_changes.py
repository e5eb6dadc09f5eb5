"""When variables changed, and what is logged of it."""

from structlog.testing import capture_logs

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.credential import Credentials
from rensei_daemon.tasks.value_changes import ValueChanges

ONE = Credentials().replaced({"A": "1", "B": "1"})
TWO = ONE.replaced({"A": "2", "C": "1"})


def test_a_change_is_logged_once_when_it_is_noted() -> None:
    """With its names and its generation, and no value."""
    with capture_logs() as logs:
        changes = ValueChanges("build")
        changes.add(Credentials(), ONE, "snapshot")
        changes.add(ONE, TWO, "stream")
        assert logs == []
        changes.note()
        changes.note()
    assert [(e["generation"], e["names"], e["source"]) for e in logs] == [
        (1, ("A", "B"), "snapshot"),
        (2, ("A", "B", "C"), "stream"),
    ]
    assert {e["session_id"] for e in logs} == {"build"}


def test_the_time_of_a_change_is_that_of_its_addition() -> None:
    """A variable has one as soon as it is asked for, and none once it is gone."""
    changes = ValueChanges("build")
    changes.add(Credentials(), ONE, "snapshot")
    between = CLOCK.now()
    changes.add(ONE, TWO, "stream")
    after = CLOCK.now()
    assert changes.at.keys() == {"A", "C"}
    assert between <= changes.at["A"] <= after
    assert changes.at["A"] == changes.at["C"]
    changes.add(TWO, TWO.replaced({"A": "2", "C": "2"}), "stream")
    assert changes.at["A"] <= after <= changes.at["C"]
