"""What the page promises to tools that keep a block of their own in the file."""

import re
from datetime import UTC, datetime
from pathlib import Path

from valid_texts import accept

from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.document_editing import apply_all
from rensei_daemon.core.mutation import Mutation, parse_mutation

PAGE = Path(__file__).parents[2] / "docs/configuration-management.md"
NOW = datetime(2026, 11, 28, tzinfo=UTC)
POLICY = {"matrix": {"anthropic": {"byok": {"allowed": False}}}}


def block() -> str:
    """Return the block that the page shows."""
    found = re.search(r"```toml\n(# BEGIN.*?# END[^\n]*\n)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def rest() -> str:
    """Return what the page has made once, below the block."""
    found = re.search(r'content: "([^"]*)"', PAGE.read_text())
    assert found is not None
    return found[1].replace("\\n", "\n")


def test_a_block_at_the_head_is_left_as_it_is() -> None:
    """The daemon writes below it, and takes away no more than it wrote."""
    text = block() + rest()
    before = ValidConfig(Document(text), accept(Document(text)))
    there: list[Mutation] = [
        parse_mutation("project.add", {"id": "a", "repository": "https://x/a"}),
        parse_mutation("pool.deleted", {"poolId": "p"}),
        parse_mutation("modelAccess.set", {"policy": POLICY}),
    ]
    after, outcomes = apply_all(there, before, accept, NOW)
    assert [outcome.error for outcome in outcomes] == [""] * 3
    assert after.document.text.startswith(block() + rest())
    assert len(after.document.tree) == 7
    back: list[Mutation] = [
        parse_mutation("project.remove", {"id": "a"}),
        parse_mutation("modelAccess.clear", {}),
    ]
    after, _ = apply_all(back, after, accept, NOW)
    assert after.document.text.startswith(block() + rest())
    assert set(after.document.tree) - {"pool"} == {
        "platform",
        "machine",
        "mutations",
        "credentials",
        "projects",
    }
