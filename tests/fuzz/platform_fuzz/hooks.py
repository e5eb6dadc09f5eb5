"""What schemathesis is told of the world behind the document: ids that are known.

It runs in schemathesis's own process, with WORLD naming a file that the fuzzer wrote. A
request that is meant to be right gets known ids three times out of four, so that it
reaches what lies behind the first check. Nothing is changed in one that is meant wrong.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import GenerationMode

WORLD: dict[str, Any] = json.loads(Path(os.environ["WORLD"]).read_text())
KNOWN = {
    "worker_id": "worker",
    "workerId": "worker",
    "host_id": "host",
    "workerHostId": "host",
    "mutation_id": "mutations",
    "kind": "kinds",
    "provider": "providers",
    "orgId": "org",
}


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Put known ids into a request that is meant to be right; spare our own key."""
    if _is_own_key(case):
        case.path_parameters["key_id"] = "key_none"
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    chance = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode())
    if chance % 4 == 0:
        return
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            for name in part.keys() & KNOWN.keys():
                choices = WORLD[KNOWN[name]]
                part[name] = choices[chance // 4 % len(choices)]


def _is_own_key(case: Any) -> bool:
    return bool((case.path_parameters or {}).get("key_id") == WORLD["key_id"])
