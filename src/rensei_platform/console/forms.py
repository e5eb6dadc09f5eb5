"""What a browser sends: a form as names and texts, bounded and checked."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from rensei_platform.errors import InvalidRequestError, TooLargeError
from rensei_platform.rules.fields import is_storable

MOST_BYTES = 1024 * 1024
"""Of a form: 256 KiB of params, each byte of them written as three."""
MOST_FIELDS = 50
PARAM = "param_"
"""How the fields begin that make the params of an operation."""


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of one that comes twice the last.

    Raise InvalidRequestError if it is none, TooLargeError for more than 1 MiB.
    """
    body, is_too_large = bytearray(), False
    try:
        async for chunk in request.stream():
            is_too_large = is_too_large or len(body) + len(chunk) > MOST_BYTES
            if not is_too_large:
                body += chunk
    except ClientDisconnect:
        raise InvalidRequestError("the form must be whole") from None
    if is_too_large:
        raise TooLargeError("a form must have at most 1 MiB")
    return _parse(bytes(body))


def _parse(body: bytes) -> dict[str, str]:
    try:
        found = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise InvalidRequestError("the form is malformed") from None
    form = {name: value.replace("\r\n", "\n") for name, value in found}
    for name, value in form.items():
        if not is_storable(value):
            raise InvalidRequestError(f"{name[:100]} must not contain NUL")
    return form


def kept_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the params of an operation, which may be in an address.

    They are no secrets, but for a password that somebody has typed into a URL.
    """
    return {
        name: value
        for name, value in fields.items()
        if name.startswith(PARAM) and not ("://" in value and "@" in value)
    }


def words(value: str) -> list[str] | None:
    """Return the words of a field, separated by space or comma. None if there are none."""
    return value.replace(",", " ").split() or None
