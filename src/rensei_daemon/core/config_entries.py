"""The entries that mutations write, and the tables that only contain them.

A mutation writes entries: a project, the pool, a policy. The tables above them mean the
same whether empty or absent. So an empty one is never written, and one that an operator
wrote is never removed.
"""

from collections.abc import Mapping
from typing import Any

from rensei_daemon.core.edit import Path

CONTAINERS: tuple[Path, ...] = (
    ("projects",),
    ("model_access",),
    ("model_access", "workloads"),
)
_NOTHING: Mapping[str, Any] = {}


def editable_entries(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the entries that mutations can write: projects, the pool, policies."""
    found: dict[Path, Any] = {}
    for project, entry in _table(tree, "projects").items():
        found["projects", project] = entry
    if "pool" in tree:
        found["pool",] = tree["pool"]
    access = _table(tree, "model_access")
    if "default" in access:
        found["model_access", "default"] = access["default"]
    for workload, policy in _table(access, "workloads").items():
        found["model_access", "workloads", workload] = policy
    return found


def without_empty_containers(
    tree: Mapping[str, Any], *, but: Mapping[str, Any] = _NOTHING, at: Path = ()
) -> dict[str, Any]:
    """Return the values without empty containers, except `but`."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if (*at, key) not in CONTAINERS or not isinstance(value, Mapping):
            kept[key] = value
            continue
        content = without_empty_containers(value, but=_table(but, key), at=(*at, key))
        if content or key in but:
            kept[key] = content
    return kept


def _table(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}
