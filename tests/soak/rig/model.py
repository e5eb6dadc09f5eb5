"""What the file should say after each mutation: a second opinion, as simple as can be.

It shares no code with the daemon: values only, one dict, the operations' plain meaning.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from rensei_platform.rules.mutations import Mutation

WORKLOADS = ("qa", "research", "merge")
MODES = ("host-session", "byok", "metered")


@dataclass
class Model:
    """The values of the tables that mutations write, and each mutation's outcome."""

    tree: dict[str, Any] = field(default_factory=lambda: {"projects": {}})
    outcomes: dict[str, str | None] = field(default_factory=dict)
    """By mutation id: None for applied, else the error."""

    def apply(self, mutation: Mutation) -> None:
        """Do what a mutation says, the first time it is met."""
        if mutation.id in self.outcomes:
            return
        self.outcomes[mutation.id] = self._do(mutation.op, mutation.params)

    def _do(self, op: str, params: dict[str, Any]) -> str | None:
        if op == "project.add" and "repository" not in params:
            return "project.add requires id + repository"
        if op.startswith("project."):
            self._do_project(op.removeprefix("project."), params)
        elif op == "modelAccess.clear":
            self.tree.pop("model_access", None)
        elif op == "modelAccess.set":
            access = self.tree.setdefault("model_access", {})
            access.setdefault("workloads", {})[params["workload"]] = params["policy"]
        return None

    def _do_project(self, verb: str, params: dict[str, Any]) -> None:
        projects = self.tree["projects"]
        if verb == "remove":
            projects.pop(params["id"], None)
        elif verb == "disable":
            if params["id"] in projects:
                projects[params["id"]]["enabled"] = False
        else:
            entry = projects.setdefault(params["id"], {"repositories": []})
            self._enable(entry)
            if verb == "add" and params["repository"] not in entry["repositories"]:
                entry["repositories"].append(params["repository"])

    @staticmethod
    def _enable(entry: dict[str, Any]) -> None:
        if "enabled" in entry:
            entry["enabled"] = True


def draw(chance: random.Random, projects: int = 8) -> tuple[str, dict[str, Any]]:
    """Draw an operation and its params; few names, so that they meet one another."""
    project = f"proj_{chance.randrange(projects)}"
    match chance.randrange(10):
        case 0 | 1 | 2 | 3:
            repository = f"https://git.example/{project}/{chance.randrange(4)}"
            return "project.add", {"id": project, "repository": repository}
        case 4 | 5:
            return "project.remove", {"id": project}
        case 6:
            return "project.disable", {"id": project}
        case 7:
            return "project.enable", {"id": project}
        case 8:
            mode = chance.choice(MODES)
            cell = {mode: {"allowed": chance.random() < 0.5}}
            policy = {"matrix": {"anthropic": cell}}
            params = {"workload": chance.choice(WORKLOADS), "policy": policy}
            return "modelAccess.set", params
        case _:
            return chance.choice((("modelAccess.clear", {}), ("project.add", {"id": "x"})))
