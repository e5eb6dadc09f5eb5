"""Whose an entry is, and what undoes a change."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest

from rensei_daemon.core.config_entries import editable_entries
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.history import (
    BlameChange,
    ChangeRecord,
    blame,
    edit_records,
    no_change,
    no_mutation,
    reversal,
    unified,
    written_entries,
)
from rensei_daemon.errors import ConflictingMutationError

TREE = tomllib.loads("""\
[projects]
a = { repositories = ["r"], enabled = false }
b = { repositories = [] }
[pool]
status = "deleted"
since = 2026-11-23T16:00:00Z
[model_access.default.matrix.anthropic]
byok = { allowed = true }
[model_access.workloads.qa]
auth_order = ["byok"]
""")
DEFAULT = {"matrix": {"anthropic": {"byok": {"allowed": True}}}}


def _made(number: int, *left: Edit) -> BlameChange:
    record = ChangeRecord(
        number=number,
        at=f"t{number}",
        cause="op",
        mutation_id=f"m{number}",
        requested_by="ada",
        edits=[],
        text_kept=True,
    )
    return BlameChange(record=record, entries=list(left))


def test_entries_are_projects_the_pool_and_policies() -> None:
    """An entry is what one mutation can write as a whole."""
    assert list(editable_entries(TREE)) == [
        ("projects", "a"),
        ("projects", "b"),
        ("pool",),
        ("model_access", "default"),
        ("model_access", "workloads", "qa"),
    ]


def test_a_change_leaves_whole_entries_however_small_or_large_its_edits() -> None:
    """An edit inside an entry leaves that entry, one above entries leaves each of them."""
    cleared = Edit(("model_access",), {"default": {}, "workloads": {"qa": {}}}, ABSENT)
    inside = Edit(("projects", "a", "enabled"), ABSENT, False)
    assert written_entries([cleared, inside], {"projects": TREE["projects"]}) == (
        Edit(("model_access", "default"), ABSENT, ABSENT),
        Edit(("model_access", "workloads", "qa"), ABSENT, ABSENT),
        Edit(("projects", "a"), ABSENT, {"repositories": ["r"], "enabled": False}),
    )


def test_blame_names_the_last_writer_unless_a_person_wrote_since() -> None:
    """The newest change of an entry has it, if it still is as that change left it."""
    newest_first = [
        _made(4, Edit(("projects", "b"), ABSENT, {"repositories": ["gone"]})),
        _made(3, Edit(("projects", "b"), ABSENT, {"repositories": []})),
        _made(2, Edit(("projects", "a"), ABSENT, TREE["projects"]["a"])),
        _made(1, Edit(("model_access", "default"), ABSENT, DEFAULT)),
    ]
    assert [(e["path"], e["change"]) for e in blame(TREE, newest_first)] == [
        ("projects.a", 2),
        ("projects.b", None),
        ("pool", None),
        ("model_access.default", 1),
        ("model_access.workloads.qa", None),
    ]


def test_a_change_is_reversed_edit_by_edit_from_the_last() -> None:
    """What was made is unmade in the opposite order."""
    edits = [
        Edit(("projects", "a", "enabled"), True, False),
        Edit(("projects", "a", "repositories"), [], ["r"]),
    ]
    assert reversal(1, edits, TREE) == [
        Edit(("projects", "a", "repositories"), ["r"], []),
        Edit(("projects", "a", "enabled"), False, True),
    ]


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        (
            Edit(("projects", "a", "enabled"), ABSENT, True),
            "projects.a.enabled: change 9 left true, today it is false",
        ),
        (
            Edit(("projects", "b"), {"repositories": []}, ABSENT),
            "projects.b: change 9 left absent, today it is { repositories = [] }",
        ),
        (
            Edit(("pool", "id"), ABSENT, "p"),
            'pool.id: change 9 left "p", today it is absent',
        ),
    ],
)
def test_a_change_is_not_reversed_over_what_came_since(edit: Edit, difference: str) -> None:
    """The refusal holds the difference between today and what the change wrote."""
    with pytest.raises(ConflictingMutationError) as raised:
        reversal(9, [edit], TREE)
    assert str(raised.value) == (
        f"change 9 cannot be rolled back, the file has changed since\n  {difference}"
    )


def test_edits_are_spelled_for_scripts() -> None:
    """An absence is null, a time is ISO text, a key is quoted where TOML quotes it."""
    since = datetime(2026, 11, 23, 16, tzinfo=UTC)
    after: dict[str, Any] = {"since": since, "candidates": ["p"]}
    assert edit_records([Edit(("projects", "a b"), ABSENT, after)]) == [
        {
            "path": 'projects."a b"',
            "before": None,
            "after": {"since": "2026-11-23T16:00:00Z", "candidates": ["p"]},
        }
    ]


def test_a_diff_says_where_a_last_line_has_no_end() -> None:
    """The usual remark marks the missing newline."""
    assert unified("a\n", "b", name="c") == (
        "--- c (before)\n+++ c (after)\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n"
    )


def test_what_is_not_on_record_is_said() -> None:
    """A change by its number, a mutation by its id, and an empty record as one."""
    assert str(no_change(None)) == "no change is on record yet"
    assert no_change(None).hint.startswith("mutations and rollbacks are recorded")
    assert str(no_change(7)) == "there is no change 7 on record"
    assert str(no_mutation("m1")) == "there is no mutation m1 on record here"


def test_blame_stops_when_every_entry_has_its_writer() -> None:
    """Older changes are not read for nothing, and none leave every entry by hand."""
    tree = {"pool": {"id": "p"}}
    newest_first = iter(
        [_made(2, Edit(("pool",), ABSENT, tree["pool"])), _made(1), _made(0)]
    )
    assert [e["change"] for e in blame(tree, newest_first)] == [2]
    assert [made["record"]["number"] for made in newest_first] == [1, 0]
    assert [e["change"] for e in blame(tree, [])] == [None]
