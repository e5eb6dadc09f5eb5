"""The files that come along with the code: units, their neighbours, the example config.

A wheel carries them inside the package; in a checkout they stay where contributors look
for them. The rest of the program need not know which it is.
"""

from pathlib import Path

import rensei_daemon
from rensei_daemon.cli.own_program import source
from rensei_daemon.errors import RenseiError

_PACKAGE = Path(rensei_daemon.__file__).parent


def package_file(name: str, *, package: Path = _PACKAGE) -> str:
    """Return the text of a file named from `packaging/` or the checkout's top.

    Raises `RenseiError` when the installation is not whole.
    """
    checkout = package.parents[1]
    for place in (package / "_packaging", checkout / "packaging", checkout):
        if (path := place / name).is_file():
            return path.read_text(encoding="utf-8")
    raise RenseiError(
        f"{name} is missing from this installation",
        hint=f"install the package again: pip install --force-reinstall {source()}",
    )
