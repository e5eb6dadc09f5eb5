"""The edit, by golden pairs and by properties."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.config_entries import without_empty_containers
from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.document_editing import apply_all
from rensei_daemon.core.edit import ABSENT, Edit, apply_edits, same
from rensei_daemon.core.mutation import (
    Mutation,
    Op,
    PoolRestored,
    ProjectEnable,
    parse_mutation,
)
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.core.toml_edit import TomlEditor
from rensei_daemon.core.toml_layout import Layout
from rensei_daemon.core.toml_scanner import Kind
from rensei_daemon.errors import (
    MutationError,
    SettingsError,
    UncheckedError,
    UnknownOperationError,
)

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


def accept_all(_: Document) -> None:
    """Accept every file."""


def _apply(
    text: str, *mutations: Mutation | PoolRestored | MutationError
) -> tuple[str, list[Outcome]]:
    before = ValidConfig(Document(text), None)
    after, outcomes = apply_all(mutations, before, accept_all, NOW)
    return after.document.text, outcomes


def _golden(suffix: str, name: str) -> str:
    return (GOLDEN / f"{name}.{suffix}").read_bytes().decode()


NAMES = sorted(
    path.name.removesuffix(".before.toml") for path in GOLDEN.glob("*.before.toml")
)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each pair: the mutations lead from the one text to exactly the other."""
    mutations = [
        parse_mutation(raw["op"], raw["params"])
        for raw in json.loads(_golden("mutations.json", name))
    ]
    text, outcomes = _apply(_golden("before.toml", name), *mutations)
    assert text == _golden("after.toml", name)
    assert [outcome.error for outcome in outcomes] == [""] * len(mutations)
    assert _apply(text, *mutations[-1:])[0] == text


def test_pool_comes_and_goes_without_a_trace() -> None:
    """A pool that is deleted and restored leaves the file byte for byte as it was."""
    before = _golden("before.toml", "pool_deleted")
    after, _ = _apply(_golden("after.toml", "pool_deleted"), PoolRestored())
    assert after == before


def test_a_comment_keeps_its_owner_whatever_comes_and_goes() -> None:
    """The one directly under `[projects]` is the table's own before and after."""
    before = "[projects]\n# from the platform\n[pool]\nstatus = 'deleted'\n"
    after, _ = _apply(before, parse_mutation("project.enable", {"id": "a"}))
    after, _ = _apply(after, PoolRestored())
    assert after == "[projects]\n# from the platform\na = { repositories = [] }\n"
    after, _ = _apply(after, parse_mutation("project.remove", {"id": "a"}))
    assert after == "[projects]\n# from the platform\n"


def test_what_would_take_another_line_along_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last check holds every line outside the entry, not only what the text means."""

    class Careless(TomlEditor):
        def text(self) -> str:
            return super().text().replace("level = 'debug' # OPS-7", 'level = "debug"')

    monkeypatch.setattr("rensei_daemon.core.document_editing.TomlEditor", Careless)
    before = "[log]\nlevel = 'debug' # OPS-7\n"
    text, (outcome,) = _apply(before, parse_mutation("project.enable", {"id": "a"}))
    assert text == before
    assert str(outcome.error) == (
        "cannot edit projects as it is spelled in the file; the file was left unchanged"
    )


def test_the_second_pass_repairs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may add an empty table; what else is missing was lost, and is no edit."""
    passes: list[str] = []

    class Forgetful(TomlEditor):
        def text(self) -> str:
            passes.append(super().text())
            return passes[-1].replace("level = 1\n", "", len(passes) == 1)

    monkeypatch.setattr("rensei_daemon.core.document_editing.TomlEditor", Forgetful)
    before = "[log]\nlevel = 1\n"
    text, (outcome,) = _apply(before, parse_mutation("project.enable", {"id": "a"}))
    assert (text, len(passes)) == (before, 1)
    assert outcome.error is not None


@pytest.mark.parametrize("lie", ["[projects]\na = {}\n", "[projects\n", "[log]\n"])
def test_what_would_mean_something_else_is_not_done(
    monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """The text is read again, and must mean what was meant."""

    class Lying(TomlEditor):
        def text(self) -> str:
            return lie

    monkeypatch.setattr("rensei_daemon.core.document_editing.TomlEditor", Lying)
    text, (outcome,) = _apply("", parse_mutation("project.enable", {"id": "a"}))
    assert text == ""
    assert str(outcome.error).startswith("cannot edit projects as it is spelled")


def test_a_mutation_that_could_not_be_parsed_fails_alone() -> None:
    """Its error is its outcome; the mutation beside it is applied."""
    text, outcomes = _apply(
        "[projects]\n",
        UnknownOperationError("unsupported"),
        ProjectEnable(id="a"),
        parse_mutation("modelAccess.set", {"policy": {"version": 7}}),
    )
    assert tomllib.loads(text)["projects"] == {"a": {"repositories": []}}
    assert [(outcome.error, outcome.ignored) for outcome in outcomes] == [
        ("unsupported", ()),
        ("", ()),
        ("", ("policy.version",)),
    ]


def test_one_bad_mutation_fails_alone() -> None:
    """A mutation the settings model refuses fails; those around it are applied."""

    def accept(document: Document) -> None:
        if "bad" in document.tree["projects"]:
            raise SettingsError("config.toml:3:1: projects.bad is not allowed")

    mutations = [
        parse_mutation("project.enable", {"id": project})
        for project in ("a", "b", "bad", "c", "d")
    ]
    before = ValidConfig(Document("[projects]\n"), None)
    after, outcomes = apply_all(mutations, before, accept, NOW)
    assert after.document.tree == {"projects": {p: {"repositories": []} for p in "abcd"}}
    assert [outcome.error for outcome in outcomes] == [
        "",
        "",
        "the result would not be a valid configuration: "
        "config.toml:3:1: projects.bad is not allowed",
        "",
        "",
    ]


def test_a_text_that_nobody_could_check_is_no_conflict() -> None:
    """The mutation is as good as it was, and waits for another try."""

    def check(document: Document) -> None:
        if document.text:
            raise UncheckedError("its process ended")

    enable = parse_mutation("project.enable", {"id": "a"})
    with pytest.raises(UncheckedError):
        apply_all([enable], ValidConfig(Document(""), None), check, NOW)


def test_a_text_that_is_not_toml_is_a_conflict() -> None:
    """Nothing is edited in a file that cannot be read."""
    with pytest.raises(MutationError, match="the file is not valid TOML"):
        _apply("projects = [", parse_mutation("project.enable", {"id": "a"}))


def test_a_batch_knows_what_each_mutation_did() -> None:
    """Each outcome carries its own edits, also when a later one takes them back."""
    _, outcomes = _apply(
        "",
        parse_mutation("project.enable", {"id": "a"}),
        parse_mutation("project.disable", {"id": "a"}),
        parse_mutation("project.remove", {"id": "a"}),
    )
    path = ("projects", "a")
    assert [outcome.edits for outcome in outcomes] == [
        (Edit(path, ABSENT, {"repositories": []}),),
        (Edit((*path, "enabled"), ABSENT, False),),
        (Edit(path, {"repositories": [], "enabled": False}, ABSENT),),
    ]


# -- properties --

ids = st.sampled_from(
    ["a", "b", "proj_1", "é ü", 'q"uote', "dot.ted", "", " ", "\x7f\u2028"]
)
scalars = st.one_of(
    st.text(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=True),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
cells = st.fixed_dictionaries(
    {"allowed": st.booleans()},
    optional={"host": st.text(max_size=5), "model": ids, "enforce": junk},
)
modes = st.sampled_from(["byok", "metered", "shared", "host-session", "local"])
policies = st.fixed_dictionaries(
    {"matrix": st.dictionaries(ids, st.dictionaries(modes, cells, max_size=3), max_size=3)},
    optional={"authOrder": st.lists(modes, max_size=3)},
)
good_params = st.fixed_dictionaries(
    {"id": ids, "repository": ids},
    optional={
        "poolId": ids,
        "reason": st.text(max_size=9),
        "candidatePoolIds": st.lists(ids, max_size=2),
        "policy": policies,
        "workload": st.sampled_from(["qa", "merge", "", None]),
    },
)
ops = st.sampled_from([*Op, "session.kill"])
requests = st.tuples(ops, st.one_of(good_params, good_params, junk))

lines = st.sampled_from([
    "", "# free", "[projects]", "[projects.a]", "repositories = ['x']", "enabled = false",
    "a = {}", "b = { repositories = [] } # b", "'dot.ted' = { enabled = true }",
    "repositories = [ # one\n  'x', # two\n  ]", "projects.a.enabled = true", "[pool]",
    "id = 'p'", "status = 'deleted'", "[model_access.default]", "auth_order = []",
    "[model_access.default.matrix.a]", "byok = { allowed = true }", "[[other]]", "x = 1",
    "host-session = { allowed = true, enforce = nan }", "enforce = 1979-05-27",
    "b = { repositories = [ # none yet\n  # add here\n] }",
    "repositories = ['x', 'y' # z\n]",
    "[model_access.workloads.qa.matrix.'*']", "local.allowed = false", "[machine]",
    's = """\n[projects]\n# no"""', "projects = { a = { repositories = ['y'] } }",
])  # fmt: skip
texts = st.builds(
    lambda parts, end, final: end.join(part.replace("\n", end) for part in parts) + final,
    st.lists(lines, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n"]),
)


def _parsed(request: tuple[str, Any]) -> Mutation | None:
    try:
        return parse_mutation(*request)
    except MutationError:
        return None


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@given(
    text=st.one_of(texts, texts, st.text(max_size=40)), batch=st.lists(requests, max_size=4)
)
def test_nothing_but_a_mutation_error_is_raised(
    text: str, batch: list[tuple[str, Any]]
) -> None:
    """Any text and any params give an outcome, or a MutationError; never a crash."""
    mutations = [m for request in batch if (m := _parsed(request)) is not None]
    try:
        after, outcomes = _apply(text, *mutations)
    except MutationError:
        assert not _is_toml(text)
        return
    assert len(outcomes) == len(mutations)
    expected = tomllib.loads(text)
    for outcome in outcomes:
        apply_edits(expected, outcome.edits)
    means = without_empty_containers(tomllib.loads(after))
    assert same(means, without_empty_containers(expected))


@given(text=texts.filter(_is_toml), request=requests)
def test_applied_twice_is_applied_once(text: str, request: tuple[str, Any]) -> None:
    """A mutation that has been applied changes nothing when it comes again."""
    if (mutation := _parsed(request)) is None:
        return
    once, outcomes = _apply(text, mutation)
    if not outcomes[0].error:
        twice, again = _apply(once, mutation)
        assert twice == once
        assert again == [Outcome()]


@given(text=texts.filter(_is_toml), request=requests)
def test_untouched_lines_are_identical(text: str, request: tuple[str, Any]) -> None:
    """Every other statement stays unchanged, byte for byte and in order.

    So does every comment, unless something was removed that may have owned it.
    """
    if (mutation := _parsed(request)) is None:
        return
    after, (outcome,) = _apply(text, mutation)
    is_removal = any(edit.after is ABSENT for edit in outcome.edits)
    remaining = iter(after.split("\n"))
    for item in Layout(text).items:
        touched = any(_is_within(item.path, edit.path) for edit in outcome.edits)
        if item.kind is Kind.BLANK or touched or (is_removal and not item.is_statement):
            continue
        for line in text[item.start : item.end].removesuffix("\n").split("\n"):
            assert line in remaining or line + "\r" in after.split("\n")


def _is_within(path: tuple[str, ...], edited: tuple[str, ...]) -> bool:
    shorter = min(len(path), len(edited))
    return path[:shorter] == edited[:shorter] and shorter > 0


def test_a_text_is_named_by_all_of_its_bytes() -> None:
    """The byte order mark counts: the digest is the file's."""
    assert Document("").digest == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert Document("\ufeff").digest == (
        "f1945cd6c19e56b3c1c78943ef5ec18116907a4ca1efc40a57d48ab1db7adfc5"
    )


def test_what_is_no_table_is_a_conflict() -> None:
    """The mutation fails alone, and the text stays."""
    text, (outcome, _) = _apply(
        "[[projects.a]]\n",
        parse_mutation("project.enable", {"id": "a"}),
        parse_mutation("project.enable", {"id": "b"}),
    )
    assert str(outcome.error) == "projects.a is not a table"
    assert tomllib.loads(text)["projects"] == {"a": [{}], "b": {"repositories": []}}


def test_a_table_that_becomes_a_value_goes_whole() -> None:
    """By hand `candidates` was made a table; the list takes its place in the pool."""
    text, _ = _apply(
        '[pool]\nid = "p"\n\n[pool.candidates]\nx = 1\n\n[log]\nlevel = "info"\n',
        parse_mutation("pool.deleted", {"poolId": "p", "reason": "r"}),
    )
    assert text == (
        '[pool]\nid = "p"\ncandidates = []\nstatus = "deleted"\nreason = "r"\n'
        'since = 2026-11-23T16:00:00Z\n\n[log]\nlevel = "info"\n'
    )


def test_an_edit_that_nobody_could_read_again_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result of an edit passes the limit that reading has, or nothing is written."""
    monkeypatch.setattr("rensei_daemon.core.document_editing.MAX_CONFIG_BYTES", 60)
    before = ValidConfig(Document("[projects]\n"), None)
    mutations = [ProjectEnable(id="a"), ProjectEnable(id="b" * 60)]
    after, [fits, too_long] = apply_all(mutations, before, lambda _: None, NOW)
    assert after.document.tree == {"projects": {"a": {"repositories": []}}}
    assert fits.error == ""
    assert "larger than" in str(too_long.error)
