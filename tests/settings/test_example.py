"""The annotated reference and the model say the same."""

import re
import tomllib
from pathlib import Path
from typing import Any

from rensei_daemon.fast_dataclass import fields_of
from rensei_daemon.settings.loading import load, load_model
from rensei_daemon.settings.values import (
    Cell,
    ModelAccess,
    Policy,
    Pool,
    Project,
    Session,
    Settings,
)

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
EXAMPLE_OF_A_KEY = re.compile(r"^# (?=\[|[a-z_-]+ = )", re.MULTILINE)


def _keys(kind: type) -> set[str]:
    return set(fields_of(kind) or ())


def uncommented() -> dict[str, Any]:
    """Return the tree of the example with every commented key taken in."""
    text = EXAMPLE.read_text().replace("\nsessions = []\n", "\n")
    return tomllib.loads(EXAMPLE_OF_A_KEY.sub("", text))


def test_it_changes_nothing() -> None:
    """The example as it is equals an empty file: every default in it is right."""
    example = load(EXAMPLE.read_text(), path=EXAMPLE, environ={})
    assert example == load("", path=EXAMPLE, environ={})


def test_every_default_is_written() -> None:
    """Each key with a default is in the example, not in a comment."""
    written = tomllib.loads(EXAMPLE.read_text())
    defaults = load_model("", path=EXAMPLE, environ={}).model_dump(exclude_none=True)
    del defaults["machine"]["name"]  # the host name: no text can state it
    assert [
        f"{section}.{key}"
        for section, keys in defaults.items()
        for key in keys
        if key not in written[section]
    ] == []


def test_every_key_is_described() -> None:
    """Each key of the model appears, at least as a commented example."""
    tree = uncommented()
    assert set(tree) == _keys(Settings)
    for name, kind in Settings.__annotations__.items():
        if fields_of(kind) is not None:
            assert set(tree[name]) == _keys(kind)
    cells = [*tree["model_access"]["default"]["matrix"]["anthropic"].values()]
    cells += tree["model_access"]["workloads"]["kg-extraction"]["matrix"][
        "anthropic"
    ].values()
    for kind, tables in (
        (Session, tree["credentials"]["sessions"]),
        (Project, tree["projects"].values()),
        (Pool, [tree["pool"]]),
        (ModelAccess, [tree["model_access"]]),
        (Policy, [tree["model_access"]["default"]]),
        (Cell, cells),
    ):
        assert {key for table in tables for key in table} == _keys(kind)


def test_the_commented_examples_are_right() -> None:
    """The example with every comment taken in is accepted too."""
    text = EXAMPLE.read_text().replace("\nsessions = []\n", "\n")
    load(EXAMPLE_OF_A_KEY.sub("", text), path=EXAMPLE, environ={})
