"""The forms of the operations: their fields, and the params that they make."""

from collections.abc import Mapping
from dataclasses import dataclass

from rensei_platform.console.forms import PARAM, words
from rensei_platform.rules.fields import Json
from rensei_platform.rules.json_text import MOST_DEPTH, read_object
from rensei_platform.rules.mutations import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a form."""

    name: str
    """Of the param."""
    label: str
    hint: str = ""
    is_required: bool = False
    kind: str = "text"
    """`text`, `list` (words) or `json`."""


@dataclass(frozen=True, slots=True)
class OpForm:
    """The form of an operation."""

    title: str
    effect: str
    fields: tuple[Field, ...]


_PROJECT = Field(name="id", label="Project", is_required=True, hint="Such as proj_a.")
_WORKLOAD = Field(
    name="workload", label="Workload", hint="Empty: the default of all workloads."
)
FORMS: Mapping[Op, OpForm] = {
    Op.PROJECT_ADD: OpForm(
        "Add a project",
        "The host takes work of the project.",
        (
            _PROJECT,
            Field(
                name="repository",
                label="Repository",
                is_required=True,
                hint="Such as https://github.com/acme/a.",
            ),
        ),
    ),
    Op.PROJECT_REMOVE: OpForm(
        "Remove a project",
        "The host forgets the project; its own guards may refuse it.",
        (_PROJECT,),
    ),
    Op.PROJECT_ENABLE: OpForm(
        "Enable a project", "The host takes work of the project again.", (_PROJECT,)
    ),
    Op.PROJECT_DISABLE: OpForm(
        "Disable a project",
        "The host takes no new work of the project, and keeps its settings.",
        (_PROJECT,),
    ),
    Op.POOL_DELETED: OpForm(
        "Announce a deleted pool",
        "The host learns that its pool is gone, and which it could join.",
        (
            Field(name="poolId", label="Pool", is_required=True, hint="Such as pool_a."),
            Field(
                name="candidatePoolIds",
                label="Pools to join instead",
                kind="list",
                hint="Separated by spaces.",
            ),
            Field(name="reason", label="Reason"),
        ),
    ),
    Op.MODEL_ACCESS_SET: OpForm(
        "Set model access",
        "The host uses this policy for the workload.",
        (
            _WORKLOAD,
            Field(
                name="policy",
                label="Policy",
                kind="json",
                is_required=True,
                hint='JSON, such as {"authOrder": ["byok", "host-session"]}.',
            ),
        ),
    ),
    Op.MODEL_ACCESS_CLEAR: OpForm(
        "Clear model access",
        "The host forgets the policy of the workload.",
        (Field(name="workload", label="Workload", hint="Empty: the policies of all."),),
    ),
}


def params_of(op: Op, form: Mapping[str, str]) -> Json:
    """Return the params that a form asks for. Raise InvalidRequestError, naming a field.

    A field that is empty is left out.
    """
    params: Json = {}
    for one in FORMS[op].fields:
        value = form.get(PARAM + one.name, "").strip()
        if not value:
            continue
        match one.kind:
            case "list":
                params[one.name] = words(value)
            case "json":
                params[one.name] = read_object(value, one.label, most_depth=MOST_DEPTH - 2)
            case _:
                params[one.name] = value
    return params


def read_params(value: str, label: str) -> Json:
    """Return params that the API takes too. Raise InvalidRequestError, with `label`."""
    return read_object(value, label, most_depth=MOST_DEPTH - 1)
