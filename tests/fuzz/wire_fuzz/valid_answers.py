"""What a platform in good order answers, endpoint by endpoint; secrets are canaries."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

CANARY = "canary-b7e1-"
"""Begins every value and every token: it may stand in no log and in no state."""
RARE = 0.005
"""Of the beats, how many bring 15 MiB."""
RARE_SNAPSHOT = 0.02
"""Of the snapshots, how many bring many values, or large ones."""
WORKLOADS = ("research", "qa", "kg-extraction", "merge", "no-such-workload", "")
PROJECTS = ("proj_a", "proj_b", "proj_c", "proj.d", "a b", "é", "keeper", "")
MODES = ("byok", "metered", "shared", "host-session", "local", "sixth")
_SECRET = re.compile(CANARY + "[0-9]{8}")
HOST_STATUSES = ("ok", "pool_deleted", "pool_draining", "unauthorized", "something_new")


def secrets_in(text: str) -> set[str]:
    """Return the canaries in a text, without what some values have behind them."""
    return set(_SECRET.findall(text))


def _when(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass
class ValidAnswers:
    """Answers in good order; every mutation and every secret of them is a new one."""

    numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    def secret(self) -> str:
        """Return a secret that was never used."""
        return f"{CANARY}{self.numbers():08}"

    def grant(self, chance: Random) -> dict[str, Any]:
        """Answer a registration or a refresh."""
        answer: dict[str, Any] = {
            "workerId": f"wkr_{chance.randint(1, 4)}",
            "runtimeToken": f"a.{self.secret()}.c",
            "runtimeTokenExpiresAt": _when(chance.choice((20, 600, 3600))),
            "heartbeatInterval": chance.choice((20, 50, 100)),
            "pollInterval": 5000,
        }
        if chance.random() < 0.3:
            answer["sessionShim"] = {"scope": "org", "workerHostId": "wh_1"}
        return answer

    def old_grant(self, chance: Random) -> dict[str, Any]:
        """Answer a registration in the older spelling."""
        token = f"a.{self.secret()}.c"
        return {
            "workerId": "wkr_old",
            "runtimeJwt": token,
            "heartbeatIntervalSeconds": 0.05,
        }

    def calm_beat(self) -> dict[str, Any]:
        """Answer a heartbeat, with nothing else to say."""
        return {"acknowledged": True, "serverTime": _when(0), "pendingWorkCount": 0}

    def beat(self, chance: Random) -> dict[str, Any]:
        """Answer a heartbeat, now and then with mutations and a host status."""
        answer = self.calm_beat()
        if chance.random() < 0.3:
            answer["hostStatus"] = {
                "status": chance.choice(HOST_STATUSES),
                "recommendedAction": "re-bind this host",
                "candidatePoolIds": ["pool_a", "pool_b"],
            }
        if chance.random() < 0.6:
            (size,) = chance.choices((1, 2, 5, 40, 400, 5000), (160, 120, 80, 40, 20, 1))
            answer["pendingMutations"] = [self.mutation(chance) for _ in range(size)]
        if chance.random() < RARE:
            answer["pendingMutations"] = [self._large(chance) for _ in range(60)]
        return answer

    def mutation(self, chance: Random) -> dict[str, Any]:
        """Return a mutation of any op, with an id of its own."""
        op, params = chance.choice(_OPS)(chance)
        return {
            "id": f"dmut_{self.numbers()}",
            "op": op,
            "params": params,
            "requestedAt": _when(0),
            "requestedBy": "ada",
        }

    def _large(self, chance: Random) -> dict[str, Any]:
        """Return a mutation whose params are about as large as they may be."""
        mutation = self.mutation(chance)
        filling = chance.choice((["x" * 60_000] * 4, ["x"] * 3_000, {"a": "é" * 40_000}))
        return mutation | {"params": {**mutation["params"], "more": filling}}

    def snapshot(self, chance: Random) -> dict[str, Any]:
        """Answer the question for all of a session's values."""
        values = self.values(chance)
        answer = {"env": values, "refreshUntil": _when(chance.choice((31, 600)))}
        if chance.random() < RARE_SNAPSHOT:
            size = chance.choice((100, 1000, 60_000))
            many = range(min(4000, 8_000_000 // size))
            values |= {f"MANY_{n}": self.secret() + "v" * size for n in many}
        return answer

    def update(self, chance: Random) -> dict[str, Any]:
        """Return what an event of the stream says."""
        return {
            "type": "UPDATE",
            "delta": self.values(chance),
            "rotatedAt": _when(0),
        }

    def values(self, chance: Random) -> dict[str, Any]:
        """Return values of some variables."""
        names = [f"TOKEN_{chance.randint(1, 20)}" for _ in range(chance.randint(1, 8))]
        return {name: self.secret() for name in names}

    def asked_for(self, chance: Random) -> dict[str, Any]:
        """Answer a person who asks for a host's mutations."""
        size = chance.choice((0, 1, 3, 100))
        return {"mutations": [self._remote(chance) for _ in range(size)]}

    def taken_in(self, chance: Random) -> dict[str, Any]:
        """Answer a person who asks for a mutation."""
        return {"mutation": self._remote(chance)}

    def taken_back(self, chance: Random) -> dict[str, Any]:
        """Answer a person who wants none of one any more."""
        late = {"cancelled": False, "reason": "already_delivered"}
        return chance.choice(({"cancelled": True}, late))

    def rotated(self, chance: Random) -> dict[str, Any]:
        """Answer a person who wants new values for a credential."""
        count = chance.choice((0, 1, 40))
        return {
            "ok": True,
            "kind": "anthropic",
            "sessionCount": count,
            "rotatedAt": _when(0),
        }

    def _remote(self, chance: Random) -> dict[str, Any]:
        return self.mutation(chance) | {
            "orgId": "org_fuzz",
            "workerHostId": "h1",
            "status": chance.choice(("pending", "delivered", "applied", "failed", "x")),
            "createdAt": _when(-60),
            "deliveredAt": chance.choice((None, _when(0))),
            "cancelledAt": None,
        }


def _project(op: str) -> Callable[[Random], tuple[str, Any]]:
    def make(chance: Random) -> tuple[str, Any]:
        params = {"id": chance.choice(PROJECTS)}
        if op == "project.add":
            params["repository"] = f"https://github.com/o/{chance.randint(1, 9)}"
        return op, params

    return make


def _pool_deleted(chance: Random) -> tuple[str, Any]:
    return "pool.deleted", {
        "poolId": "pool_x",
        "candidatePoolIds": ["pool_a", "pool_b"],
        "reason": "consolidated " * chance.choice((1, 1, 400)),
    }


def _model_access_set(chance: Random) -> tuple[str, Any]:
    cell = {"allowed": chance.random() < 0.5, "host": "vertex", "model": "haiku"}
    rows = chance.sample(("anthropic", "*", "gpt-5.1", "open ai"), chance.randint(0, 3))
    matrix = {row: {chance.choice(MODES): dict(cell)} for row in rows}
    policy: dict[str, Any] = {"matrix": matrix}
    if chance.random() < 0.5:
        policy["authOrder"] = chance.sample(MODES, 3)
    return "modelAccess.set", {"workload": chance.choice(WORKLOADS), "policy": policy}


def _model_access_clear(chance: Random) -> tuple[str, Any]:
    return "modelAccess.clear", {"workload": chance.choice(WORKLOADS)}


def _other(chance: Random) -> tuple[str, Any]:
    op = chance.choice(("session.kill", "session.wake", "no.such.op", ""))
    return op, {"sessionId": "sess_1", "reason": "x"}


_OPS = (
    *map(_project, ("project.add", "project.add", "project.remove")),
    *map(_project, ("project.enable", "project.disable")),
    _pool_deleted,
    _model_access_set,
    _model_access_set,
    _model_access_clear,
    _other,
)
