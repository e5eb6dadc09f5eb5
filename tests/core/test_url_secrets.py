"""Passwords and tokens in URLs: found in every spelling, in linear time."""

import json
import time
from pathlib import Path

import pytest

from rensei_daemon.core.mutation import parse_mutation
from rensei_daemon.core.url_secrets import holds_secret, without_secret, without_user_info
from rensei_daemon.errors import InvalidMutationError

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize(
    ("repository", "kept"),
    [
        ("https://u:canary@git.example/x", "https://…@git.example/x"),
        ("https://canary@git.example/x", "https://…@git.example/x"),
        ("https://b:Canary/Pw+9=@git.example/x", "https://…@git.example/x"),
        ("https://u:can@ary@git.example/x", "https://…@git.example/x"),
        ("https://u:p?canary=1@git.example/x", "https://…@git.example/x"),
        ("https://u:p#canary@git.example/x", "https://…@git.example/x"),
        ("//u:canary@git.example/x", "//…@git.example/x"),
        ("u:canary@git.example/x", "…@git.example/x"),
        ("u:canary@git.example:x", "…@git.example:x"),
        ("canary@git.example/x", "…@git.example/x"),
        (r"https:\\u:canary@git.example\x", r"https:\\…@git.example\x"),
        (r"https:/\u:canary@git.example/x", r"https:/\…@git.example/x"),
        (r"/\u:canary@git.example/x", r"/\…@git.example/x"),
        ("ssh://git:canary@git.example/x", "ssh://…@git.example/x"),
        ("https://git.example/x?access_token=canary", "https://git.example/x?access_token=…"),
        ("https://git.example/x?a=1&PRIVATE-TOKEN=canary", "https://git.example/x?a=1&PRIVATE-TOKEN=…"),
        ("https://git.example/x?canary", "https://git.example/x?…"),
        ("https://git.example/x#pat=canary", "https://git.example/x#pat=…"),
        ("https://u:canary@h/x?key=canary;b=2", "https://…@h/x?key=…;b=2"),
    ],
)  # fmt: skip
def test_a_secret_is_found_and_cut_out(repository: str, kept: str) -> None:
    """What is kept of it is refused as well, and cutting it again changes nothing."""
    assert holds_secret(repository)
    assert without_user_info({"repository": repository}) == {"repository": kept}
    assert "canary" not in kept.lower()
    assert holds_secret(kept)
    assert without_secret(kept) == kept


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/acme/api.git",
        "ssh://git@git.example/x",
        "ssh://git@git.example:2222/~u/x.git",
        "git@github.com:acme/api.git",
        "deploy.bot@git.example:/srv/x",
        "https://git.example/x?ref=main&path=a/b",
        "https://git.example/r&d;x",
        "/srv/git/a@b.git",
        "file:///srv/git/a@b.git",
        "plain",
        "",
    ],
)
def test_what_holds_none_is_kept_verbatim(repository: str) -> None:
    """The name of an ssh account is no secret, nor is a path on this host."""
    assert not holds_secret(repository)
    assert without_user_info({"repository": repository}) == {"repository": repository}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("see https://u:canary@h/x, Ada", "see https://…@h/x, Ada"),
        ("see //u:canary@h/x\nand\thttps://h", "see //…@h/x\nand\thttps://h"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet@20240620"),
        ("vertex:claude@20240620", "vertex:claude@20240620"),
        ("mail ada@example.com", "mail ada@example.com"),
        ("ssh://git@h/x", "ssh://git@h/x"),
    ],
)
def test_in_other_texts_only_a_url_is_looked_for(text: str, kept: str) -> None:
    """A reason may quote a URL with a password; a model's name holds an `@` of its own."""
    assert without_user_info({"reason": [text], "a": {"b": text}, "n": 1}) == {
        "reason": [kept],
        "a": {"b": kept},
        "n": 1,
    }


def test_the_refusal_does_not_quote_the_secret() -> None:
    """Of the four that were sent, only the one with an account's name is understood."""
    sent = json.loads((CASES / "user_info.mutations.json").read_text())
    for raw in sent[:3]:
        with pytest.raises(InvalidMutationError) as refused:
            parse_mutation(raw["op"], raw["params"])
        assert "canary" not in str(refused.value).lower()
    parse_mutation(sent[3]["op"], sent[3]["params"])


@pytest.mark.parametrize("piece", ["a", "a@", "://", "a:", "\\", "?", "a&", "-", " @"])
def test_a_megabyte_of_anything_takes_no_time(piece: str) -> None:
    """No pattern here is worse than linear."""
    text = (piece * 1_000_000)[:1_000_000] + "@\n"
    started = time.process_time()
    holds_secret(text)
    without_user_info({"reason": text})
    assert time.process_time() - started < 3
