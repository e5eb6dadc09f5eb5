"""The text of the operator's file, and what it means.

A `Document` is text. Its meaning is parsed from the text, never stored beside it.
"""

import hashlib
import tomllib
from functools import cached_property
from typing import Any, Generic, TypeVar

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK
from rensei_daemon.fast_dataclass import dataclass

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class Document:
    """An exact text of the configuration file."""

    text: str

    @property
    def body(self) -> str:
        """The text without a byte order mark, which TOML parsers reject."""
        return self.text.removeprefix(BYTE_ORDER_MARK)

    def with_body(self, body: str) -> "Document":
        """Return another text with this one's byte order mark."""
        return Document(self.text[: len(self.text) - len(self.body)] + body)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The parsed text; raises `tomllib.TOMLDecodeError` if it is not TOML."""
        return tomllib.loads(self.body)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ValidConfig(Generic[SettingsT]):
    """A text that was parsed and validated, and the settings that it gives."""

    document: Document
    settings: SettingsT
