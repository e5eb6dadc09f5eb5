"""Values made from tables are those of the model, or are left to it."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.settings import values
from rensei_daemon.settings.building import UnfitError, build, plain, settings_of
from rensei_daemon.settings.loading import check_settings, load
from rensei_daemon.settings.values import Settings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TEXT = """
[projects]
a = { repositories = ["https://x/a"], enabled = false }
b = {}
[pool]
status = "deleted"
candidates = ["p"]
since = 2026-11-23T16:00:00Z
[model_access.default]
auth_order = ["byok", "metered"]
[model_access.default.matrix.anthropic]
byok = { allowed = true, model = "m", enforce = { limit = 3 } }
[model_access.workloads.kg.matrix."*"]
local = { allowed = false }
"""
NAMES = st.sampled_from(["a", "byok", "local", "*", ""])
LEAVES = st.one_of(
    st.sampled_from(["", "a", "byok", "deleted", "2026-11-23T16:00:00Z"]),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)]),  # noqa: DTZ001 - TOML has both
)
TEXTS = st.lists(LEAVES, max_size=2) | LEAVES


def _table(*keys: str, of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from([*keys, "other"]), of, max_size=3) | LEAVES


PROJECTS = st.dictionaries(NAMES, _table("repositories", "enabled", of=TEXTS), max_size=2)
POOLS = _table("status", "id", "reason", "candidates", "since", of=TEXTS)
CELLS = _table("allowed", "host", "model", "enforce", of=LEAVES)
ROWS = st.dictionaries(NAMES, st.dictionaries(NAMES, CELLS, max_size=2), max_size=2)
POLICIES = st.fixed_dictionaries({}, optional={"matrix": ROWS, "auth_order": TEXTS})
ACCESS = st.fixed_dictionaries(
    {},
    optional={
        "default": POLICIES,
        "workloads": st.dictionaries(NAMES, POLICIES, max_size=2),
    },
)
TREES = st.fixed_dictionaries(
    {}, optional={"projects": PROJECTS, "pool": POOLS, "model_access": ACCESS}
)


@given(TREES)
def test_what_fits_is_what_the_model_makes_of_it(tree: dict[str, Any]) -> None:
    """An edit that needs no model gives the very values that the model would give."""
    try:
        made = build(Settings, tree)
    except UnfitError:
        return
    assert made == check_settings(tree)


def test_what_mutations_write_needs_no_model() -> None:
    """Every key of the entries, as it is usually written, fits."""
    tree = tomllib.loads(TEXT)
    made = build(Settings, tree)
    assert made == check_settings(tree)
    assert made.projects["a"] == values.Project(
        repositories=("https://x/a",), enabled=False
    )


@pytest.mark.parametrize(
    "tree",
    [
        {"projects": {"a": {"enabled": 1}}},
        {"projects": {"a": {"repository": []}}},
        {"projects": {"a": {"repositories": "x"}}},
        {"pool": {"status": ""}},
        {"pool": {"since": "2026-11-23T16:00:00Z"}},
        {"model_access": {"default": {"matrix": {"*": {"byok": {}}}}}},
        {"model_access": {"default": {"matrix": {"*": {"byoc": {"allowed": True}}}}}},
    ],
)
def test_everything_else_is_left_to_the_model(tree: dict[str, Any]) -> None:
    """It says what is wrong, or makes a value of it all the same."""
    with pytest.raises(UnfitError):
        build(Settings, tree)


def test_settings_survive_json() -> None:
    """What another process has validated is what this one would have."""
    text = EXAMPLE.read_text().partition("[projects]")[0] + TEXT
    text += (
        "[[credentials.sessions]]\nid = 'a'\nfiles = [{ path = 'f', rename = { A = 'B' } }]"
    )
    settings = load(text.replace("sessions = []", ""), path=EXAMPLE, environ={})
    assert settings.credentials.sessions[0].files
    assert settings_of(json.loads(json.dumps(plain(settings)))) == settings


@pytest.mark.parametrize(
    "table",
    [{}, {"log": {"level": "loud"}}, {"projects": []}, {"limits": {"state_mib": 1.5}}],
)
def test_settings_of_another_shape_are_not_built(table: dict[str, Any]) -> None:
    """Another version of the program may have made them."""
    whole = plain(check_settings({})) if table else {}
    with pytest.raises(UnfitError):
        settings_of({**whole, **table})


def test_a_file_has_the_defaults_of_the_schema() -> None:
    """An env file is one of the session's files, with nothing but defaults."""
    text = "[[credentials.sessions]]\nid = 'a'\nenv_file = 'f'\nfiles = [{ path = 'f' }]"
    (session,) = load(text, path=EXAMPLE, environ={}).credentials.sessions
    env_file, file = session.all_files
    assert env_file == file
