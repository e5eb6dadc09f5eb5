"""The files that are installed with the code: units, completions, the example config.

They are inside the package in a wheel, and in `packaging/` in a checkout. The rest of the
program need not know which.
"""

from pathlib import Path

import rensei_daemon
from rensei_daemon.cli.own_program import source
from rensei_daemon.errors import RenseiError

_PACKAGE = Path(rensei_daemon.__file__).parent


def package_file(name: str, *, package: Path = _PACKAGE) -> str:
    """Return the text of a file, by its path below `packaging/` or the checkout.

    Raises `RenseiError` if the installation is incomplete.
    """
    checkout = package.parents[1]
    for place in (package / "_packaging", checkout / "packaging", checkout):
        if (path := place / name).is_file():
            return path.read_text(encoding="utf-8")
    raise RenseiError(
        f"{name} is missing from this installation",
        hint=f"install the package again: pip install --force-reinstall {source()}",
    )
