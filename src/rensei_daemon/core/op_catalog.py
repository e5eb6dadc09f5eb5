"""What each operation takes, for whoever types a mutation.

`complete_params` turns texts of a command line into what a param takes, and `check_request`
refuses what no host could apply, with the word that was probably meant. A host checks
again, by `core.mutation`.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from rensei_daemon.core.mutation import WORKLOADS, Op, parse_mutation
from rensei_daemon.core.spelling import nearest
from rensei_daemon.errors import MutationError, UsageError
from rensei_daemon.fast_dataclass import dataclass

MOST_QUOTED = 100
"""Characters of a mistyped word that an error quotes."""


class ParamType(StrEnum):
    """What a param holds."""

    TEXT = "text"
    TEXTS = "list of texts"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A param of an operation."""

    name: str
    meaning: str
    type: ParamType = ParamType.TEXT
    is_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OpDescription:
    """An operation in words."""

    meaning: str
    params: tuple[Param, ...]
    example: str
    """Its params as words of a command line."""


_PROJECT = Param(name="id", meaning="the project's id")
_POLICY_EXAMPLE = (
    'policy=\'{"authOrder": ["byok"], '
    '"matrix": {"anthropic": {"byok": {"allowed": true}}}}\''
)


def describe(op: Op) -> OpDescription:
    """Return what an operation does and takes."""
    return _OPS[op]


_OPS = {
    Op.PROJECT_ADD: OpDescription(
        meaning="Allow a project on the host, with one repository more.",
        params=(_PROJECT, Param(name="repository", meaning="URL without user info")),
        example="id=proj_a repository=https://github.com/acme/api",
    ),
    Op.PROJECT_REMOVE: OpDescription(
        meaning="Remove a project and its repositories from the host.",
        params=(_PROJECT,),
        example="id=proj_a",
    ),
    Op.PROJECT_ENABLE: OpDescription(
        meaning="Allow a project on the host again.",
        params=(_PROJECT,),
        example="id=proj_a",
    ),
    Op.PROJECT_DISABLE: OpDescription(
        meaning="Disallow a project on the host, and keep its repositories.",
        params=(_PROJECT,),
        example="id=proj_a",
    ),
    Op.POOL_DELETED: OpDescription(
        meaning="Tell the host that its pool was deleted.",
        params=(
            Param(name="poolId", meaning="the pool"),
            Param(
                name="candidatePoolIds",
                meaning="pools that it could be bound to, with commas between",
                type=ParamType.TEXTS,
                is_required=False,
            ),
            Param(name="reason", meaning="shown to its operator", is_required=False),
        ),
        example="poolId=pool_a candidatePoolIds=pool_b,pool_c",
    ),
    Op.MODEL_ACCESS_SET: OpDescription(
        meaning="Replace the host's model-access policy, or that of one workload.",
        params=(
            Param(
                name="policy",
                meaning="authOrder and matrix; policy=@FILE reads a file",
                type=ParamType.OBJECT,
            ),
            Param(
                name="workload",
                meaning="which one, such as kg-extraction; else the default",
                is_required=False,
            ),
        ),
        example=f"workload=kg-extraction {_POLICY_EXAMPLE}",
    ),
    Op.MODEL_ACCESS_CLEAR: OpDescription(
        meaning="Remove a workload's policy, or without one all of them.",
        params=(Param(name="workload", meaning="which one", is_required=False),),
        example="workload=kg-extraction",
    ),
}


def complete_params(op: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params, with each text turned into what its param takes.

    A text for a list is split at its commas, and a text for an object read as JSON. Params
    of an unknown op stay as they are. Raise `UsageError` for a text that is not JSON.
    """
    types = {param.name: param.type for param in _params_of(op)}
    return {key: _complete(key, value, types.get(key)) for key, value in params.items()}


def _params_of(op: str) -> tuple[Param, ...]:
    return _OPS[Op(op)].params if op in list(Op) else ()


def _complete(key: str, value: Any, wanted: ParamType | None) -> Any:
    if not isinstance(value, str):
        return value
    match wanted:
        case ParamType.TEXT:
            return value.strip()
        case ParamType.TEXTS:
            return [part.strip() for part in value.split(",") if part.strip()]
        case ParamType.OBJECT:
            return _read_json(key, value)
        case _:
            return value


def _read_json(key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{key}: this is not JSON: {error}", hint=f"{key}=@FILE reads it from a file"
        ) from error


def check_request(op: str, params: Mapping[str, Any]) -> None:
    """Raise `UsageError`, with a hint, for a request that no host of ours could apply."""
    if op not in list(Op):
        raise UsageError(
            f'no op "{op[:MOST_QUOTED]}"',
            hint=_meant(op, list(Op), "see them all: rensei-daemon mutations ops"),
        )
    description = _OPS[Op(op)]
    names = [param.name for param in description.params]
    for key in params:
        if key not in names:
            what = f'{op} takes no "{key[:MOST_QUOTED]}"'
            raise UsageError(what, hint=_meant(key, names, f"it takes {', '.join(names)}"))
    for param in description.params:
        if param.is_required and params.get(param.name) in (None, "", [], {}):
            what = f"{op} requires {param.name}: {param.meaning}"
            raise UsageError(what, hint=f"for example: {op} {description.example}")
    _check_workload(op, params)
    try:
        parse_mutation(op, params)
    except MutationError as error:
        raise UsageError(
            str(error), hint=f"for example: {op} {description.example}"
        ) from error


def _check_workload(op: str, params: Mapping[str, Any]) -> None:
    workload = params.get("workload")
    if op != Op.MODEL_ACCESS_SET or not isinstance(workload, str) or not workload:
        return
    if workload not in WORKLOADS:
        what = f'no workload "{workload[:MOST_QUOTED]}"'
        hint = _meant(workload, WORKLOADS, f"they are: {', '.join(WORKLOADS)}")
        raise UsageError(what, hint=hint)


def _meant(word: str, known: list[str] | tuple[str, ...], otherwise: str) -> str:
    return nearest(word[:MOST_QUOTED], known) or otherwise
