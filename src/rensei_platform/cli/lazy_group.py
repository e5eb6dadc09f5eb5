"""Commands that are imported when they are called.

Those that open the database import SQLAlchemy and Alembic, which takes five times as long
as all that the others need.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that imports a command when it is called or its help is shown."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **settings: Any) -> None:
        """`lazy` has the `module:attribute` of each command by its name."""
        super().__init__(*args, **settings)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of these arguments. Fail with the one that may be meant."""
        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            for name in get_close_matches(args[0], known, n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {name!r}?")
        return super().resolve_command(ctx, args)
