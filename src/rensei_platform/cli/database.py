"""What the commands share that open the database, and `migrate`, one of them."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from sqlalchemy import URL

from rensei_platform.config import CONFIG_VARIABLE, Config, find_config_file, load_config
from rensei_platform.errors import SettingsError
from rensei_platform.locations import state_directory
from rensei_platform.services.opening import master_key_path
from rensei_platform.store.engine import parse_url
from rensei_platform.store.lock import exclusive
from rensei_platform.store.schema import migrate

FILE = click.Path(path_type=Path, dir_okay=False)

_config_option = click.option(
    "--config",
    "config_file",
    type=FILE,
    metavar="FILE",
    help=f"platform.toml. Default: ${CONFIG_VARIABLE}, /etc/rensei-platform/platform.toml.",
)
_database_option = click.option(
    "--database", metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME."
)
master_key_option = click.option(
    "--master-key",
    type=FILE,
    metavar="FILE",
    help="Encrypts stored values. Default: what systemd passes; else beside an embedded "
    "database, or master.key in the state directory.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The configuration of this machine's server."""

    file: Path | None
    config: Config
    providers: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    """What the command line sets."""

    def read_again(self) -> "Setup":
        """Return the setup as the files are now. Raise SettingsError."""
        config, providers = load_config(self.file, self.options)
        return replace(self, config=config, providers=providers)

    @property
    def database(self) -> URL:
        """The database. Raise SettingsError if none is named."""
        if self.config.database is None:
            raise SettingsError(
                "no database is named",
                hint="Give --database URL, or set `database` in platform.toml.",
            )
        return parse_url(self.config.database)

    @property
    def listen_url(self) -> URL | None:
        """PostgreSQL itself, if `database` is a pooler. Raise SettingsError."""
        if self.config.listen_url is None:
            return None
        url = parse_url(self.config.listen_url)
        if "sqlite" in (url.drivername, self.database.drivername):
            raise SettingsError(
                "listen_url is for PostgreSQL", hint="Leave it out of platform.toml."
            )
        return url

    @property
    def direct_database(self) -> URL:
        """The database, and no pooler before it: what commands open it by."""
        return self.listen_url or self.database

    @property
    def master_key(self) -> Path:
        """The file of the master key."""
        state = self.config.state_directory or state_directory(os.environ, os.geteuid())
        return master_key_path(self.database, self.config.master_key, state)


def uses_setup(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `--config` and `--database`, and a Setup of all its settings.

    `names` are the command's other options that are settings.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(config_file: Path | None, **options: Any) -> None:
            file = config_file or find_config_file(os.environ)
            settings = {name: options.pop(name) for name in ("database", *names)}
            config, providers = load_config(file, settings)
            setup = Setup(file=file, config=config, providers=providers, options=settings)
            command(setup=setup, **options)

        return _config_option(_database_option(run))

    return decorate


@click.command("migrate")
@uses_setup()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate_command(setup: Setup, as_json: bool) -> None:
    """Bring the database's schema up to date.

    Example: rensei-platform migrate --database sqlite:////var/lib/rensei-platform/platform.db
    """
    with exclusive(setup.direct_database):
        previous, revision = migrate(setup.direct_database)
    if as_json:
        click.echo(json.dumps({"schema": revision, "previous": previous}))
    else:
        before = "" if previous in (None, revision) else f"; it was {previous}"
        click.echo(f"the schema is up to date ({revision}){before}")
