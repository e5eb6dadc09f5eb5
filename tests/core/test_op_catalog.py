"""What operators are told of ops, and what they cannot send."""

import shlex

import pytest

from rensei_daemon.core.mutation import Op, parse_mutation
from rensei_daemon.core.op_catalog import check_request, complete_params, describe
from rensei_daemon.errors import UsageError


@pytest.mark.parametrize("op", Op)
def test_every_example_is_a_valid_request(op: Op) -> None:
    """As words of a shell; without a required param it is refused."""
    words = [word.split("=", 1) for word in shlex.split(describe(op).example)]
    params = complete_params(op, dict(words))
    check_request(op, params)
    parse_mutation(op, params)
    for param in describe(op).params:
        without = {key: value for key, value in params.items() if key != param.name}
        if param.is_required:
            with pytest.raises(UsageError, match=f"{op} requires {param.name}"):
                check_request(op, without)
        else:
            check_request(op, without)


def test_texts_become_what_a_param_takes() -> None:
    """Lists are split at commas, objects are read; what is no text stays."""
    texts = {"poolId": " a ", "candidatePoolIds": "b, c,"}
    assert complete_params("pool.deleted", texts) == {
        "poolId": "a",
        "candidatePoolIds": ["b", "c"],
    }
    texts = {"candidatePoolIds": ["b,c"]}  # type: ignore[dict-item]
    assert complete_params("pool.deleted", texts) == texts
    assert complete_params("modelAccess.set", {"policy": '{"matrix": {}}', "x": " y "}) == {
        "policy": {"matrix": {}},
        "x": " y ",
    }
    assert complete_params("session.kill", {"id": " s "}) == {"id": " s "}
    with pytest.raises(UsageError, match="policy: this is not JSON"):
        complete_params("modelAccess.set", {"policy": "{"})


@pytest.mark.parametrize(
    ("op", "params", "what", "hint"),
    [
        ("project.ad", {}, 'no op "project.ad"', 'did you mean "project.add"?'),
        ("zzz", {}, 'no op "zzz"', "see them all: rensei-daemon mutations ops"),
        (
            "project.add",
            {"id": "a", "repo": "b"},
            'project.add takes no "repo"',
            'did you mean "repository"?',
        ),
        ("project.enable", {"id": "a", "zzz": 1}, 'takes no "zzz"', "it takes id"),
        ("project.add", {"id": 7, "repository": "r"}, "decode params: id", "for example"),
        (
            "modelAccess.set",
            {"policy": {"matrix": {}}, "workload": "developments"},
            'no workload "developments"',
            'did you mean "development"?',
        ),
        (
            "modelAccess.set",
            {"policy": {"matrix": {}}, "workload": "0"},
            'no workload "0"',
            "they are: research",
        ),
    ],
)
def test_what_no_host_could_apply_is_refused(
    op: str, params: dict[str, object], what: str, hint: str
) -> None:
    """With the word that was probably meant."""
    with pytest.raises(UsageError) as refused:
        check_request(op, params)
    assert what in str(refused.value)
    assert hint in refused.value.hint
