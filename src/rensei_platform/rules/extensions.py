"""Extensions of the wire that every heartbeat answer offers.

A daemon uses one only while the newest answer offered it. `docs/wire.md` describes them.
"""

UPTAKE = "uptake"
"""Heartbeats say which version of the values each session holds and uses."""

OFFERED = (UPTAKE,)
