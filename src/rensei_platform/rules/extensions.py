"""Extensions of the wire that every heartbeat answer offers.

A daemon uses one only while the newest answer offered it. `docs/wire.md` describes them.
"""

UPTAKE = "uptake"
"""Heartbeats say which version of the values each session holds and uses."""

MUTATIONS_EVENT = "mutations-event"
"""Streams that name a worker bring an event when a mutation waits for its host."""

OFFERED = (UPTAKE, MUTATIONS_EVENT)
