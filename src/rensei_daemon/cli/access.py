"""`access`: what this host's model-access policy allows, and which line decides."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import one_of
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean
from rensei_daemon.core.model_access import (
    AccessDecision,
    AccessRequest,
    AuthMode,
    decide,
    denial,
)
from rensei_daemon.errors import UsageError
from rensei_daemon.locations import locate

_TEXTS = ("workload", "company", "model", "requested")


@click.group("access")
def command() -> None:
    """Try the model-access policy of this host.

    Example: rensei-daemon access check --batch policies.jsonl
    """


@command.command("check")
@click.option("--workload", default="", help="The kind of work; empty: the default policy.")
@click.option("--company", help="Whose model.")
@click.option("--model", help="Which model.")
@click.option(
    "--auth-mode",
    shell_complete=one_of(lambda: [*AuthMode]),
    help="The mode that would be liked best.",
)
@click.option("--ceiling", help="The modes the platform leaves open: a,b,c, in its order.")
@click.option("--batch", metavar="FILE|-", help="Decide each JSON line of a file instead.")
@config_option
@json_option
def check(
    workload: str,
    company: str | None,
    model: str | None,
    auth_mode: str | None,
    ceiling: str | None,
    batch: str | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Say what a request would get here; exit 0 when allowed, 1 when denied.

    With --batch each line is {"workload", "company", "model", "requested",
    "platformAllowed": [...]}, and each is answered by one line, in order; exit 0 when
    every line was decided.

    Example: rensei-daemon access check --company anthropic --model claude-sonnet
    --auth-mode byok --ceiling byok,metered
    """
    policy = _Policy(config)
    if batch is not None:
        return _decide_each(policy, batch)
    if company is None or model is None or auth_mode is None or ceiling is None:
        raise UsageError(
            "--company, --model, --auth-mode and --ceiling are all needed",
            hint="or give --batch FILE; see: rensei-daemon access check --help",
        )
    request = AccessRequest(
        workload=workload,
        company=company,
        model=model,
        requested=auth_mode,
        platform_allowed=_modes(ceiling),
    )
    decision = decide(policy.block, request)
    if as_json:
        print_json(_answer(decision))
    else:
        click.echo(_told(policy, request, decision))
    return 0 if decision.is_allowed else 1


def _modes(ceiling: str) -> tuple[str, ...]:
    return tuple(mode.strip() for mode in ceiling.split(",") if mode.strip())


class _Policy:
    """The policy of the file, and the positions of its lines."""

    def __init__(self, config: Path | None) -> None:
        # Imported here: only this command and `run` need the policy model.
        from rensei_daemon.cli.config_file import read_config
        from rensei_daemon.core.document import Document
        from rensei_daemon.settings.loading import load
        from rensei_daemon.settings.toml_positions import Positions

        self.path = locate(environ=os.environ, uid=os.geteuid(), config=config).config
        document = Document(read_config(self.path))
        load(document.text, path=self.path, environ={})  # no variable sets a policy
        self.block: dict[str, Any] = document.tree.get("model_access", {})
        self._positions = Positions(document.text)

    def place(self, scope: tuple[str, ...], cell: tuple[str, str]) -> str:
        """Return file:line:column of a cell, `cell` being (row, mode)."""
        line, column = self._positions.find(("model_access", *scope, "matrix", *cell))
        return f"{self.path}:{line}:{column}"


def _told(policy: _Policy, request: AccessRequest, decision: AccessDecision) -> str:
    is_override = decision.scope == "machine-workload"
    scope = ("workloads", request.workload) if is_override else ("default",)
    if decision.auth_mode is None:
        verdict, details = denial(request, decision.scope), []
    else:
        verdict = f"allowed: {decision.auth_mode}, model {decision.model}"
        if request.requested and request.requested != decision.auth_mode:
            verdict += f"; {request.requested} is not available"
        details = [f"on host {decision.host}"] if decision.host else []
    details += [
        f"{policy.place(scope, cell)}: {'.'.join(cell)}" for cell in decision.deciding
    ]
    if not decision.deciding:
        details.append("no entry of this host's policy matches")
    details.append(f"left of the ceiling: {', '.join(decision.effective_set) or 'nothing'}")
    if decision.dropped:
        details.append(f"ignored, for nothing can be added: {', '.join(decision.dropped)}")
    return "\n  ".join(clean(line) for line in (verdict, *details))


def _answer(decision: AccessDecision) -> dict[str, Any]:
    return {
        "allowed": decision.is_allowed,
        "authMode": decision.auth_mode,
        "host": decision.host,
        "model": decision.model,
        "effectiveSet": list(decision.effective_set),
        "dropped": list(decision.dropped),
    }


def _decide_each(policy: _Policy, batch: str) -> int:
    """Answer every line; one that is not a request gets an error and sets the exit code."""
    code = 0
    for number, line in enumerate(_lines(batch), start=1):
        try:
            answer = _answer(decide(policy.block, _request(line, number)))
        except UsageError as error:
            answer, code = {"error": str(error)}, error.exit_code
        click.echo(json.dumps(answer))
    return code


def _lines(batch: str) -> Iterator[str]:
    try:
        with (
            nullcontext(sys.stdin.buffer)
            if batch == "-"
            else Path(batch).open("rb") as file
        ):
            yield from (line.decode() for line in file if line.strip())
    except OSError as error:
        raise UsageError(f"{batch} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{batch} is not UTF-8") from error


def _request(line: str, number: int) -> AccessRequest:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError(f"line {number} is not JSON") from None
    if isinstance(raw, dict):
        texts = [raw.get(key, "") for key in _TEXTS]
        ceiling = raw.get("platformAllowed")
        is_ceiling = isinstance(ceiling, list) and all(isinstance(m, str) for m in ceiling)
        if is_ceiling and all(isinstance(text, str) for text in texts):
            known = dict(zip(_TEXTS, texts, strict=True))
            return AccessRequest(**known, platform_allowed=tuple(ceiling or ()))
    keys = ", ".join((*_TEXTS, "platformAllowed"))
    raise UsageError(f"line {number} is not a request ({keys})")
