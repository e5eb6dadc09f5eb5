"""`mutations ops`: what a host can be asked for."""

import sys
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import tolerate
from rensei_daemon.core.mutation import Op
from rensei_daemon.core.op_catalog import Param, describe

ENQUEUE = "rensei-daemon mutations enqueue"


@click.command("ops")
@config_option
@json_option
def ops_command(config: Path | None, as_json: bool) -> None:
    """List every op, with its params, their types and an example.

    Example: rensei-daemon mutations ops
    """
    del config  # every command takes it; this one needs no file
    if as_json:
        print_json({"ops": [_for_json(op) for op in Op]})
        return
    tolerate(sys.stdout)
    click.echo("\n\n".join("\n".join(_lines(op)) for op in Op))


def _for_json(op: Op) -> dict[str, Any]:
    about = describe(op)
    params = [
        {
            "name": param.name,
            "type": param.type,
            "required": param.is_required,
            "meaning": param.meaning,
        }
        for param in about.params
    ]
    example = f"{ENQUEUE} {op} {about.example}"
    return {"op": op, "meaning": about.meaning, "params": params, "example": example}


def _lines(op: Op) -> list[str]:
    about = describe(op)
    size = max(len(param.name) for param in about.params)
    params = [f"  {param.name:<{size}}  {_type(param)}" for param in about.params]
    example = f"  {ENQUEUE} {op} {about.example}"
    return [f"{op}: {about.meaning}", *params, example]


def _type(param: Param) -> str:
    need = "" if param.is_required else ", may be left out"
    return f"{param.type}{need}: {param.meaning}"
