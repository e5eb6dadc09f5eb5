"""How arguments become the params of a mutation."""

import pytest

from rensei_daemon.cli.param_arguments import parse_params
from rensei_daemon.errors import UsageError

FILES = {
    "policy.json": '{"matrix": {}}\n',
    "list": '\n["pool_b"]',
    "reason.txt": "Retired.\nSee the board.\n",
    "number": "7\n",
}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("id=proj_a", {"id": "proj_a"}),
        ("id=", {"id": ""}),
        ("repository=https://g/a?b=c:=d", {"repository": "https://g/a?b=c:=d"}),
        ("n:=7", {"n": 7}),
        ('s:="@text"', {"s": "@text"}),
        ("on:=true", {"on": True}),
        ("none:=null", {"none": None}),
        ("policy=@policy.json", {"policy": {"matrix": {}}}),
        ("ids=@list", {"ids": ["pool_b"]}),
        ("reason=@reason.txt", {"reason": "Retired.\nSee the board."}),
        ("n=@number", {"n": "7"}),
        ("n:=@number", {"n": 7}),
    ],
)
def test_an_argument_is_text_json_or_a_file(
    argument: str, expected: dict[str, object]
) -> None:
    """Each spelling of a value gives what its sign promises."""
    assert parse_params([argument], FILES.__getitem__) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["proj_a"], "'proj_a' is not KEY=VALUE"),
        (["=x"], "'=x' is not KEY=VALUE"),
        (["id=a", "id=b"], "id is given twice"),
        (["n:=seven"], "n: this is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (["n:=NaN"], "n: this is not JSON: NaN is not JSON"),
        (["n:=" + "[" * 100_000], "n: this JSON is nested too deeply"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    arguments: list[str], message: str
) -> None:
    """The error names the argument and says what is wrong with it."""
    with pytest.raises(UsageError) as raised:
        parse_params(arguments, FILES.__getitem__)
    assert str(raised.value) == message
