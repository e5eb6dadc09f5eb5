"""A configuration in any spelling TOML has, with comments whose owners are known.

Nothing here is taken from the daemon: who owns a comment is known because the text is
written statement by statement, and what a mutation means is said once more.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

Path = tuple[str, ...]
Tree = dict[str, Any]

IDS = ("a", "b", "proj_1", "dot.ted", "é ü", 'q"uote')
MODES = ("byok", "metered", "shared", "host-session", "local")
ROWS = ("*", "anthropic", "m.1")
REPOSITORIES = ("r", "https://git.example/x", "git@git.example:y")
CONTAINERS = (("projects",), ("model_access",), ("model_access", "workloads"))


ITEM = "[]"
"""In an owner: what follows is a value of the list that the path leads to."""


@dataclass(frozen=True)
class Line:
    """A line, or the lines of one value; nobody's when `owner` is None."""

    text: str
    owner: Path | None
    is_comment: bool = False
    is_changed: bool = False
    """Its value was edited, so only its comment is known."""


@dataclass
class SpelledFile:
    """A text written for a tree, in a spelling that chance picked."""

    tree: Tree
    chance: random.Random
    lines: list[Line] = field(default_factory=list)
    newline: str = "\n"
    _notes: int = 0
    _notes_of_items: list[Line] = field(default_factory=list)

    def write(self) -> str:
        """Write the file; the same lines stand in `lines`."""
        sections: list[tuple[Path, Tree]] = []
        self._maybe_loose()
        self._keys((), (), self.tree, sections)
        while sections:
            path, table = sections.pop(0)
            self._header(path)
            self._keys(path, path, table, sections)
        if self.chance.random() < 0.3:
            self._add("", None)
            self._add(f"# end {self._note()}", None, is_comment=True)
        self._disown()
        end = self.chance.choice(["", self.newline, self.newline])
        text = self.newline.join(line.text for line in self.lines) + end
        self.lines += [replace(note, is_changed=True) for note in self._notes_of_items]
        return text

    def _disown(self) -> None:
        """A comment followed by a blank line is nobody's.

        One directly under a header counts as the table's: it stays while that does.
        """
        is_followed = False
        for index in range(len(self.lines) - 1, -1, -1):
            line = self.lines[index]
            is_followed = not line.text or (is_followed and line.is_comment)
            if line.is_comment and is_followed and not line.text.startswith("# under"):
                self.lines[index] = replace(line, owner=None)

    def _keys(
        self, scope: Path, path: Path, table: Tree, sections: list[tuple[Path, Tree]]
    ) -> None:
        """Write what is in a table as lines of the section, and put off the rest."""
        items = list(table.items())
        if scope == path:
            self.chance.shuffle(items)
        for key, value in items:
            below = (*path, key)
            if not isinstance(value, dict):
                self._key(scope, below, self._spell(value, below))
                continue
            way = self.chance.choice(["header", "header", "dotted", "inline"])
            if way == "inline" or (way == "dotted" and not value):
                self._key(scope, below, self._spell(value, below))
            elif way == "dotted":
                self._keys(scope, below, value, sections)
            else:
                self._put_off(below, value, sections)

    def _put_off(self, path: Path, table: Tree, sections: list[tuple[Path, Tree]]) -> None:
        """Give a table a header, or only those in it where it holds nothing else."""
        holds_tables_only = table and all(isinstance(v, dict) for v in table.values())
        if holds_tables_only and self.chance.random() < 0.5:
            for key, value in table.items():
                self._put_off((*path, key), value, sections)
        else:
            sections.append((path, table))

    def _header(self, path: Path) -> None:
        if self.chance.random() < 0.8 or self._is_behind_a_header():
            self._add("", None)
        self._maybe_loose()
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            self._add(f"# above {self._note()}", path, is_comment=True)
        indent = self.chance.choice(["", "", "  "])
        self._add(f"{indent}[{self._dotted(path)}]{self._trailing()}", path)
        for _ in range(self.chance.choice([0, 0, 1])):
            self._add(f"# under {self._note()}", path, is_comment=True)

    def _key(self, scope: Path, path: Path, value: str) -> None:
        self._maybe_loose()
        if not self._is_behind_a_header():
            for _ in range(self.chance.choice([0, 0, 1])):
                self._add(f"  # on {self._note()}", path, is_comment=True)
        indent = self.chance.choice(["", "", "  "])
        equals = self.chance.choice([" = ", "=", "   =  "])
        key = self._dotted(path[len(scope) :])
        self._add(f"{indent}{key}{equals}{value}{self._trailing()}", path)

    def _maybe_loose(self) -> None:
        if self.chance.random() < 0.15:
            if self._is_behind_a_header():
                self._add("", None)
            self._add(f"# loose {self._note()}", None, is_comment=True)
            self._add("", None)

    def _is_behind_a_header(self) -> bool:
        """Whether a comment here would stand directly under a header."""
        for line in reversed(self.lines):
            if not line.is_comment:
                return line.text.lstrip().startswith("[")
        return False

    def _trailing(self) -> str:
        return f" # beside {self._note()}" if self.chance.random() < 0.3 else ""

    def _note(self) -> str:
        self._notes += 1
        return f"note-{self._notes}."

    def _add(self, text: str, owner: Path | None, *, is_comment: bool = False) -> None:
        self.lines.append(Line(text, owner, is_comment))

    # -- spelling --

    def _dotted(self, path: Path) -> str:
        dot = self.chance.choice([".", ".", " . "])
        return dot.join(map(self._spell_key, path))

    def _spell_key(self, key: str) -> str:
        is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
        if is_bare and self.chance.random() < 0.9:
            return key
        if '"' in key or self.chance.random() < 0.4:
            return f"'{key}'"
        return f'"{key}"'

    def _spell(self, value: Any, path: Path) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return self.chance.choice([f'"{value}"', f"'{value}'"])
        if isinstance(value, list):
            return self._spell_list(value, path)
        members = [
            f"{self._spell_key(key)} = {self._spell(item, (*path, key))}"
            for key, item in value.items()
        ]
        return "{ " + ", ".join(members) + " }" if members else "{}"

    def _spell_list(self, values: list[Any], path: Path) -> str:
        items = [self._spell(value, path) for value in values]
        if self.chance.random() < 0.5:
            comma = self.chance.choice(["", "", ","]) if items else ""
            return "[" + ", ".join(items) + comma + "]"
        text = "["
        for position, (value, item) in enumerate(zip(values, items, strict=True)):
            is_last = position == len(items) - 1
            comma = "," if not is_last or self.chance.random() < 0.5 else ""
            above = beside = ""
            if self.chance.random() < 0.2:
                above = f"{self.newline}    # item {self._item_note(path, value)}"
            if self.chance.random() < 0.3:
                beside = f" # item {self._item_note(path, value)}"
            text += f"{above}{self.newline}    {item}{comma}{beside}"
        return text + self.newline + "]"

    def _item_note(self, path: Path, value: str) -> str:
        """Return a note that goes with one value of a list."""
        note = self._note()
        self._notes_of_items.append(Line(f"# item {note}", (*path, ITEM, value)))
        return note


def random_tree(chance: random.Random) -> Tree:
    """Return a configuration with some of everything a mutation can write."""
    tree: Tree = {"log": {"level": "debug"}}
    if chance.random() < 0.5:
        tree["machine"] = {"name": "m", "region": "eu"}
    if chance.random() < 0.8:
        ids = chance.sample(IDS, chance.randint(0, 4))
        tree["projects"] = {project: _random_project(chance) for project in ids}
    if chance.random() < 0.4:
        tree["pool"] = {"status": "deleted", "id": "p", "reason": "gone"}
    if chance.random() < 0.8:
        access: Tree = {}
        if chance.random() < 0.7:
            access["default"] = random_policy(chance)
        workloads = chance.sample(["qa", "merge"], chance.randint(0, 2))
        if workloads:
            access["workloads"] = {w: random_policy(chance) for w in workloads}
        tree["model_access"] = access
    items = list(tree.items())
    chance.shuffle(items)
    return dict(items)


def _random_project(chance: random.Random) -> Tree:
    project: Tree = {}
    if chance.random() < 0.8:
        count = chance.randint(0, 3)
        project["repositories"] = chance.sample(REPOSITORIES, count)
    if chance.random() < 0.4:
        project["enabled"] = chance.random() < 0.5
    return project


def random_policy(chance: random.Random) -> Tree:
    """Return a policy as the file spells it."""
    policy: Tree = {}
    if chance.random() < 0.6:
        policy["auth_order"] = chance.sample(MODES, chance.randint(0, 4))
    rows = {
        row: {
            mode: _random_cell(chance)
            for mode in chance.sample(MODES, chance.randint(1, 3))
        }
        for row in chance.sample(ROWS, chance.randint(0, 3))
    }
    if rows:
        policy["matrix"] = rows
    return policy


def _random_cell(chance: random.Random) -> Tree:
    cell: Tree = {"allowed": chance.random() < 0.5}
    for key in ("host", "model"):
        if chance.random() < 0.3:
            cell[key] = chance.choice(["vertex", "m"])
    return cell


def random_mutation(chance: random.Random) -> tuple[str, Tree]:
    """Return an op and its params as the platform sends them."""
    match chance.randrange(8):
        case 0 | 1:
            repository = chance.choice(REPOSITORIES)
            return "project.add", {"id": chance.choice(IDS), "repository": repository}
        case 2:
            return "project.remove", {"id": chance.choice(IDS)}
        case 3:
            op = chance.choice(["project.enable", "project.disable"])
            return op, {"id": chance.choice(IDS)}
        case 4:
            reason = chance.choice(["moved", "gone"])
            return "pool.deleted", {"poolId": chance.choice("pq"), "reason": reason}
        case 5:
            workload = chance.choice([None, "qa", "merge", "qa", "merge"])
            return "modelAccess.clear", {"workload": workload}
        case _:
            policy = random_policy(chance)
            if "auth_order" in policy:
                policy["authOrder"] = policy.pop("auth_order")
            workload = chance.choice([None, "qa", "merge"])
            return "modelAccess.set", {"workload": workload, "policy": policy}


def meant(tree: Tree, op: str, params: Tree, since: object) -> Tree:
    """Say what the file means after a mutation."""
    tree = {"projects": {}, "model_access": {}, **deepcopy(tree)}
    family, _, verb = op.partition(".")
    if family == "project":
        _do_project(tree["projects"], verb, params)
    elif family == "pool":
        _delete_pool(tree, params, since)
    elif verb == "set":
        policy = dict(params["policy"])
        if "authOrder" in policy:
            policy["auth_order"] = policy.pop("authOrder")
        _set_policy(tree["model_access"], params["workload"], policy)
    elif params["workload"] is None:
        tree["model_access"] = {}
    else:
        tree["model_access"].get("workloads", {}).pop(params["workload"], None)
    return tidied(tree)


def _do_project(projects: Tree, verb: str, params: Tree) -> None:
    project = params["id"]
    if verb == "remove":
        projects.pop(project, None)
    elif verb == "disable":
        if project in projects:
            projects[project]["enabled"] = False
    else:
        entry = projects.setdefault(project, {"repositories": []})
        if "enabled" in entry:
            entry["enabled"] = True
        repositories = entry.get("repositories", [])
        if verb == "add" and params["repository"] not in repositories:
            entry["repositories"] = [*repositories, params["repository"]]


def _delete_pool(tree: Tree, params: Tree, since: object) -> None:
    old = tree.get("pool", {})
    is_same = old.get("id") == params["poolId"] and "since" in old
    tree["pool"] = {
        "status": "deleted",
        "id": params["poolId"],
        "reason": params["reason"],
        "candidates": [],
        "since": old["since"] if is_same else since,
    }


def _set_policy(access: Tree, workload: str | None, policy: Tree) -> None:
    if workload is None:
        access["default"] = policy
    else:
        access.setdefault("workloads", {})[workload] = policy


def tidied(tree: Tree) -> Tree:
    """Leave out the tables above entries that hold none: they say nothing."""
    tree = deepcopy(tree)
    if tree.get("model_access", {}).get("workloads") == {}:
        del tree["model_access"]["workloads"]
    for key in ("projects", "model_access"):
        if tree.get(key) == {}:
            del tree[key]
    return tree


def look_up(tree: Tree, path: Path) -> Any:
    """Return what stands at a path; None for nothing."""
    value: Any = tree
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def surviving(
    lines: list[Line], after: Tree, before: Tree, *, is_cleared: bool
) -> Iterator[Line]:
    """Yield the lines that must still stand, byte for byte."""
    for line in lines:
        if not line.text or line.is_changed:
            continue
        if not stands(line, after, is_cleared=is_cleared):
            continue
        is_header = line.text.lstrip().startswith("[")
        path = line.owner or ()
        is_same = not path or look_up(before, path) == look_up(after, path)
        if line.is_comment or is_header or is_same:
            yield line


def stands(line: Line, after: Tree, *, is_cleared: bool) -> bool:
    """Whether a line's owner stays; a table above entries does until all is cleared."""
    if line.owner is None:
        return True
    if ITEM in line.owner:
        *path, _, value = line.owner
        return value in (look_up(after, tuple(path)) or ())
    if line.owner in CONTAINERS:
        return not (is_cleared and line.owner[0] == "model_access")
    return look_up(after, line.owner) is not None
