"""Find and remove passwords and tokens in URLs, in every spelling.

Rules of this module:

1. A repository may contain one `@`, in `ssh://name@host/…` or `name@host:path`, where the
   name is no secret. Any other `@` may end user info: a password can contain a slash, and
   a scheme can be missing or misspelled.
2. A redacted text is still refused: `without_user_info` puts a mark where rule 1 allows
   only a name, so that a recorded text is judged like the original.
3. Every step is linear in the length of the text.
"""

import re
from collections.abc import Mapping
from typing import Any

MARK = "…"

_NAMED = re.compile(
    r"(?:ssh|git\+ssh|ssh\+git)://[A-Za-z0-9._-]+@[^@\\]*|[A-Za-z0-9._-]+@[^@:/\\]+:[^@\\]*",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"/(?![/\\])[^\\]*|file:///[^\\]*", re.IGNORECASE)
_SUSPECT = re.compile(r"[@?#]")
_QUERY = re.compile(r"([?#])")
_PARAMETERS = re.compile(r"([?#&;])")
_TOKEN = re.compile(r"\S+")
_WORD = re.compile(r"[^\W\d_]+")
_SECRET_WORDS = frozenset(
    ("pass", "pwd", "pat", "key", "sig", "sas", "jwt", "code", "cred", "creds", "session")
)
_SECRET_PARTS = ("token", "secret", "passw", "auth", "apikey", "signature", "credential")


def holds_secret(repository: str) -> bool:
    """Whether a repository may contain a password or a token."""
    _, *query = _QUERY.split(repository, maxsplit=1)
    parameters = _PARAMETERS.split("".join(query))[2::2]
    return _holds_user_info(repository) or any(map(_is_secret, parameters))


def _holds_user_info(repository: str) -> bool:
    if "@" not in repository or _LOCAL.fullmatch(repository):
        return False
    return not _NAMED.fullmatch(repository)


def _is_secret(parameter: str) -> bool:
    """Whether a query parameter has a secret's name, or no name."""
    name, equals, _ = parameter.lower().partition("=")
    if not equals:
        return bool(name)
    is_named = any(part in name for part in _SECRET_PARTS)
    return is_named or not _SECRET_WORDS.isdisjoint(_WORD.findall(name))


def without_secret(repository: str) -> str:
    """Return a repository without its secrets; `holds_secret` is still true for it."""
    if not _SUSPECT.search(repository):
        return repository
    if _holds_user_info(repository):
        repository = _cut(repository)
    head, *query = _QUERY.split(repository, maxsplit=1)
    parts = _PARAMETERS.split("".join(query))
    return head + "".join(map(_without_value, parts))


def _without_value(parameter: str) -> str:
    if _PARAMETERS.fullmatch(parameter) or not _is_secret(parameter):
        return parameter
    name, equals, _ = parameter.partition("=")
    return f"{name}={MARK}" if equals else MARK


def _cut(word: str) -> str:
    """Replace the text between the slashes, if any, and the last `@` by the mark."""
    start = word.replace("\\", "/").find("//") + 2
    at = word.rfind("@")
    return (word[:start] if 2 <= start <= at else "") + MARK + word[at:]


def without_user_info(value: Any, key: str = "") -> Any:
    """Return params without passwords and tokens of URLs.

    A mutation that is refused for one is recorded all the same. A value whose key means
    a repository or a URL is judged as a whole; in other texts, each word with `//`.
    """
    if isinstance(value, str):
        if "repo" in key.lower() or "url" in key.lower():
            return without_secret(value)
        return _TOKEN.sub(lambda word: _word_without_user_info(word[0]), value)
    if isinstance(value, list):
        return [without_user_info(item, key) for item in value]
    if isinstance(value, Mapping):
        return {name: without_user_info(item, str(name)) for name, item in value.items()}
    return value


def _word_without_user_info(word: str) -> str:
    start = word.replace("\\", "/").find("//")
    if 0 <= start < word.rfind("@") and _holds_user_info(word):
        return _cut(word)
    return word
