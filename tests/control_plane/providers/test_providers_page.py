"""The page about providers shows tables that work."""

import re
import tomllib
from pathlib import Path

import pytest

from rensei_platform.config_file import read_toml
from rensei_platform.providers.instances import TYPES, open_instance

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/providers.md"
TABLES = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
EXAMPLES = tomllib.loads(TABLES[1] if TABLES else "")["providers"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, tmp_path: Path) -> None:
    """Every example opens, once the files that it names are there."""
    table = {**EXAMPLES[name]}
    table.pop("ca_file", None)
    if "directory" in table:
        table["directory"] = str(tmp_path)
    if "command" in table:
        table["command"] = ["/bin/true", *table["command"][1:]]
    open_instance(name, table)


def test_every_type_is_shown() -> None:
    """There is an example of every type."""
    assert {table["type"] for table in EXAMPLES.values()} == set(TYPES)


def test_example_file() -> None:
    """The example of platform.toml has the tables of the page."""
    assert read_toml(ROOT / "platform.example.toml")["providers"] == EXAMPLES
