"""From a provider's fields to environment variables."""

from typing import Any

import pytest

from rensei_platform.errors import InvalidRequestError
from rensei_platform.providers.base import BadAnswerError, SecretNotFoundError
from rensei_platform.providers.fields import check_names, check_values, parse_fields, select

CANARY = "canary-of-the-field-tests"
MIB = 1024 * 1024


def test_select() -> None:
    """Scalars are text as JSON spells them; two variables may share a field."""
    fields = {"a": "x", "n": 5432, "f": 1.5, "b": True, "e": ""}
    assert select(fields, {}) == {"a": "x", "n": "5432", "f": "1.5", "b": "true", "e": ""}
    assert select(fields, {"A": "a", "AGAIN": "a"}) == {"A": "x", "AGAIN": "x"}


@pytest.mark.parametrize("value", [None, [CANARY], {"x": CANARY}])
def test_select_not_text(value: object) -> None:
    """A field without text is refused by name, not by value."""
    with pytest.raises(BadAnswerError) as refused:
        select({"a": value}, {"A": "a"})
    assert str(refused.value.reason) == "the field 'a' is not text"


def test_select_missing() -> None:
    """A field that is not there is named; so is a path without any."""
    with pytest.raises(SecretNotFoundError, match="there is no field 'b' at the path"):
        select({"a": CANARY}, {"A": "a", "B": "b", "C": "c"})
    with pytest.raises(SecretNotFoundError, match="there is no field at the path"):
        select({}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the answer is not JSON"),
        (CANARY.encode(), "the answer is not JSON"),
        (b'{"a": "' + CANARY.encode(), "the answer is not JSON"),
        (b"\xff\xfe\xff", "the answer is not JSON"),
        (b"[" * 100_000, "the answer is not JSON"),
        (b"1" * 5000, "the answer is not JSON"),
        (b'["' + CANARY.encode() + b'"]', "the answer is not a JSON object"),
        (b"null", "the answer is not a JSON object"),
        (b'{"a": NaN}', "the answer is not JSON"),
        (b'{"a": -Infinity}', "the answer is not JSON"),
        (b'{"a": "x", "a": "y"}', "the answer names a field twice"),
        (b'{"b": {"a": "x", "a": "y"}}', "the answer names a field twice"),
    ],
)
def test_parse_fields(text: bytes, message: str) -> None:
    """An answer that is no JSON object is refused, and not quoted."""
    with pytest.raises(BadAnswerError) as refused:
        parse_fields(text)
    assert refused.value.reason == message
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "the answer is not a mapping of names to text"),
        ([CANARY], "the answer is not a mapping of names to text"),
        ({"a b": CANARY}, "'a b' is not the name of a variable"),
        ({"": CANARY}, "'' is not the name of a variable"),
        ({"A=B": CANARY}, "'A=B' is not the name of a variable"),
        ({"A\n": CANARY}, "'A\\n' is not the name of a variable"),
        ({"\u0391": CANARY}, "'\\u0391' is not the name of a variable"),
        ({"x" * 300: CANARY}, f"'{'x' * 64}' is not the name of a variable"),
        ({7: CANARY}, "'7' is not the name of a variable"),
        ({"A": 7}, "the value of A is not text that a variable can hold"),
        ({"A": f"{CANARY}\0"}, "the value of A is not text that a variable can hold"),
        ({"A": f"{CANARY}\ud800"}, "the value of A is not text that a variable can hold"),
        ({"A": "x" * MIB}, f"more than {MIB} bytes or 500 values"),
        ({f"A{n}": "" for n in range(501)}, f"more than {MIB} bytes or 500 values"),
    ],
)
def test_check_values(values: object, message: str) -> None:
    """What no process can have in its environment is refused, whichever provider it is."""
    with pytest.raises(BadAnswerError) as refused:
        check_values(values, MIB)
    assert refused.value.reason == message


def test_check_values_at_the_limit() -> None:
    """Names and values together may have as many bytes as the limit says."""
    values = {"A": "é" * ((MIB - 2) // 2)}
    assert check_values(values, MIB - 1) == values
    with pytest.raises(BadAnswerError):
        check_values(values, MIB - 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a-b": "f"}, "names: a key is not the name of a variable"),
        ({"A" * 257: "f"}, "names: a key is not the name of a variable"),
        ({"A": ""}, "names: the field of A is empty or malformed"),
        ({"A": "f" * 257}, "names: the field of A is empty or malformed"),
        ({"A": "f\u202e"}, "names: the field of A is empty or malformed"),
        ({f"A{n}": "f" for n in range(501)}, "names: at most 500"),
    ],
)
def test_check_names(names: dict[str, Any], message: str) -> None:
    """A binding's names are checked where they are typed."""
    with pytest.raises(InvalidRequestError) as refused:
        check_names(names)
    assert str(refused.value) == message
