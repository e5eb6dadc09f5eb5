"""What a report says of a session, counted from the records of its consumers."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.extensions import UPTAKE, Extensions
from rensei_daemon.core.health import ConsumerHealth, Proof, SessionHealth
from rensei_daemon.core.uptake import SessionUptake, may_change_silently, uptake_of

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
URL = "https://app.test"


def session(*consumers: ConsumerHealth, id_: str = "build") -> SessionHealth:
    """Return a session that holds version 42 as its generation 3."""
    return SessionHealth(
        id=id_, since=NOON, added_at=NOON, generation=3, version=42, consumers=consumers
    )


def consumer(name: str, generation: int | None, proof: Proof) -> ConsumerHealth:
    """Return a consumer that has a generation."""
    return ConsumerHealth(kind="hook", name=name, generation=generation, proof=proof)


def test_each_consumer_counts_by_what_it_proves() -> None:
    """Those with an older generation, or none, are named; some count nowhere."""
    found = uptake_of(
        [
            session(
                consumer("a", 3, Proof.CONFIRMED),
                consumer("b", 3, Proof.RECEIVED),
                consumer("c", 3, Proof.RECEIVED),
                consumer("d", 3, Proof.UNKNOWN),
                consumer("e", 3, Proof.NOTHING),
                consumer("f", 2, Proof.CONFIRMED),
                consumer("g", None, Proof.NOTHING),
                replace(consumer("h", 3, Proof.RECEIVED), has_unread=True),
            ),
            session(id_="a"),
        ]
    )
    assert found == (
        SessionUptake(id="a", version=42),
        SessionUptake(
            id="build",
            version=42,
            confirmed=1,
            received=2,
            unknown=1,
            behind=("hook f", "hook g", "hook h"),
        ),
    )


def test_a_process_that_left_counts_as_unknown_while_it_has_old_values() -> None:
    """It is never behind, because it will never follow; with the newest it is no matter."""
    former = replace(consumer("a", 2, Proof.UNKNOWN), kind="process")
    current = replace(former, generation=3)
    assert uptake_of([session(former, former, current)]) == (
        SessionUptake(id="build", version=42, unknown=2),
    )


def test_a_report_may_change_without_an_event() -> None:
    """While a reader has something to read, or a process to end."""
    current = consumer("a", 3, Proof.RECEIVED)
    former = replace(consumer("a", 2, Proof.UNKNOWN), kind="process")
    assert not may_change_silently([session(current, consumer("f", 3, Proof.UNKNOWN))])
    assert may_change_silently([session(), session(replace(current, has_unread=True))])
    assert may_change_silently([session(current, former)])
    assert not may_change_silently([session(replace(former, generation=3))])


def test_a_session_without_a_version_holds_nothing() -> None:
    """It is reported, because a session that is left out has ended."""
    fresh = replace(session(), generation=0, version=None)
    assert uptake_of([fresh]) == (SessionUptake(id="build", version=0),)


def test_what_is_named_is_bounded() -> None:
    """At most 100 names of 256 characters."""
    many = [consumer("n" * 500, 1, Proof.UNKNOWN) for _ in range(120)]
    (found,) = uptake_of([session(*many)])
    assert (len(found.behind), len(found.behind[0])) == (100, 256)


@given(
    st.lists(
        st.tuples(st.sampled_from([None, 1, 2, 3]), st.sampled_from(list(Proof))),
        max_size=20,
    )
)
def test_every_consumer_is_counted_once(given_: list[tuple[int | None, Proof]]) -> None:
    """Either by its proof, or as behind; those without a proof of their own vanish."""
    consumers = [consumer(str(n), *one) for n, one in enumerate(given_)]
    (found,) = uptake_of([session(*consumers)])
    counted = (found.confirmed, found.received, found.unknown, len(found.behind))
    current = [proof for generation, proof in given_ if generation == 3]
    assert counted == (
        sum(proof == "confirmed" for proof in current),
        sum(proof == "received" for proof in current),
        sum(proof == "unknown" for proof in current),
        len(given_) - len(current),
    )


def test_an_extension_is_of_the_url_that_offered_it() -> None:
    """Names that are unknown, or no text, offer nothing."""
    offered = Extensions.of_answer(URL, ["uptake", "later", 7, None, ["uptake"]])
    assert offered == Extensions(URL, frozenset({"uptake"}))
    assert offered.offers(UPTAKE, URL)
    assert not offered.offers(UPTAKE, "https://other.test")
    assert not Extensions().offers(UPTAKE, URL)
    assert not Extensions.of_answer(URL, ["later"]).offers(UPTAKE, URL)
