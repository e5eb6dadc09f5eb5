"""The values of several sessions in one environment."""

from collections.abc import Mapping, Sequence

from rensei_daemon.core.credential import is_forbidden
from rensei_daemon.core.rename import rename
from rensei_daemon.errors import DeliveryError, UsageError
from rensei_daemon.fast_dataclass import dataclass

Values = tuple[Mapping[str, str] | None, ...]
"""The values of each session; None where there were never any."""


@dataclass(frozen=True, slots=True)
class Rename:
    """`[SESSION:]OLD=NEW`."""

    session_id: str
    """Empty: in each session."""
    old: str
    new: str


def parse_rename(text: str) -> Rename:
    """Return a rename; raise `ValueError` with a sentence for the caller."""
    names, equals, new = text.partition("=")
    session_id, _, old = names.rpartition(":")
    if not equals or not old:
        raise ValueError("it must be OLD=NEW or SESSION:OLD=NEW")
    if is_forbidden(new):
        raise ValueError("no credential may have the new name: it is none, or is reserved")
    return Rename(session_id, old, new)


def require_applicable(session_ids: Sequence[str], renames: Sequence[Rename]) -> None:
    """Raise `UsageError` for a rename in another session, or two of the same name."""
    new_names: dict[tuple[str, str], str] = {}
    for one in renames:
        name = f"{one.session_id}:{one.old}" if one.session_id else one.old
        if one.session_id and one.session_id not in session_ids:
            raise UsageError(
                f"--rename {name}={one.new}: {one.session_id} is no session of CMD",
                hint=f"its sessions: {', '.join(session_ids)}",
            )
        if new_names.setdefault((one.session_id, one.old), one.new) != one.new:
            raise UsageError(
                f"--rename: {name} cannot have two new names", hint="give it one of them"
            )


def merged(
    session_ids: Sequence[str], values: Values, renames: Sequence[Rename] = ()
) -> dict[str, str]:
    """Return the values of all sessions under their new names.

    Raises `UsageError` if two values would have the same name.
    """
    owner: dict[str, str] = {}
    together: dict[str, str] = {}
    for id_, found in zip(session_ids, values, strict=True):
        names = {one.old: one.new for one in renames if one.session_id in ("", id_)}
        try:
            renamed = rename(found or {}, names)
        except DeliveryError as error:
            hint = "give one of them another name with --rename"
            raise UsageError(f"session {id_}: {error}", hint=hint) from None
        for name in renamed:
            if name in owner:
                raise UsageError(
                    f"the sessions {owner[name]} and {id_} both have {name}",
                    hint=f"give one of them another name: --rename {id_}:{name}=NEW",
                )
            owner[name] = id_
        together |= renamed
    return together
