"""Values under other names, where no two may become one."""

from collections.abc import Mapping
from typing import TypeVar

from rensei_daemon.errors import DeliveryError

_T = TypeVar("_T")


def rename(values: Mapping[str, _T], names: Mapping[str, str]) -> dict[str, _T]:
    """Return values under other names; raise `DeliveryError` if two get the same."""
    origin: dict[str, str] = {}
    for name in values:
        new = names.get(name, name)
        if new in origin:
            raise DeliveryError(
                f"{origin[new]} and {name} would both be {new}",
                hint="give one of them another name in rename",
            )
        origin[new] = name
    return {new: values[old] for new, old in origin.items()}
