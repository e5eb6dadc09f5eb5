"""Some mutations of a file in a random spelling, each held against what must be true."""

import random
import tomllib
from dataclasses import replace
from datetime import UTC, datetime

from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.document_editing import apply_all, rewritten
from rensei_daemon.core.mutation import parse_mutation
from rig.spelled_file import (
    Line,
    SpelledFile,
    Tree,
    meant,
    random_mutation,
    random_tree,
    stands,
    surviving,
    tidied,
)

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
STEPS = 5


class UntrueEditError(AssertionError):
    """An edit broke a promise."""


def try_edits(seed: int) -> None:
    """Make some mutations in a random file; raise `UntrueEditError` for an untrue one."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    file, text = _random_file(chance)
    asked = [random_mutation(chance) for _ in range(STEPS)]
    tree, lines, today = tidied(file.tree), file.lines, text
    for op, params in asked:
        wanted = meant(tree, op, params, NOW)
        is_cleared = (op, params.get("workload", "")) == ("modelAccess.clear", None)
        edited = _apply(today, [(op, params)])
        kept = list(surviving(lines, wanted, tree, is_cleared=is_cleared))
        changed = [
            replace(line, is_changed=True)
            for line in lines
            if line not in kept and stands(line, wanted, is_cleared=is_cleared)
        ]
        try:
            _check_meaning(edited, wanted)
            _check_lines(edited, kept, file.newline if file.newline in text else "\n")
            _check_notes(edited, lines, kept + changed)
            back = rewritten(_valid(edited), tomllib.loads(_body(today)), _accept)
            _check_meaning(back.document.text, tree)
        except Exception as error:
            told = f"seed {seed}: {op} {params}: {error}\n--- before\n{today}\n--- after\n"
            raise UntrueEditError(told + edited) from error
        tree, today, lines = wanted, edited, kept + changed
    _check_meaning(_apply(text, asked), tree)


def _random_file(chance: random.Random) -> tuple[SpelledFile, str]:
    """Return a file that is TOML: not every mixture of spellings is."""
    while True:
        newline = chance.choice(["\n", "\n", "\n", "\r\n"])
        file = SpelledFile(random_tree(chance), chance, newline=newline)
        text = file.write()
        try:
            if tomllib.loads(text) == file.tree:
                return file, chance.choice(["", "", "", "\ufeff"]) + text
        except tomllib.TOMLDecodeError:
            pass


def _apply(text: str, asked: list[tuple[str, Tree]]) -> str:
    mutations = [parse_mutation(op, params) for op, params in asked]
    after, outcomes = apply_all(mutations, _valid(text), _accept, NOW)
    for outcome in outcomes:
        if outcome.error:
            raise UntrueEditError(f"{asked}: {outcome.error}\n{text}")
    return after.document.text


def _valid(text: str) -> ValidConfig[None]:
    return ValidConfig(Document(text), None)


def _accept(_: Document) -> None:
    """Accept every file."""


def _body(text: str) -> str:
    return text.removeprefix("\ufeff")


def _check_meaning(text: str, wanted: Tree) -> None:
    means = tidied(tomllib.loads(_body(text)))
    if means != wanted:
        raise UntrueEditError(f"it means {means}, not {wanted}")


def _check_lines(text: str, kept: list[Line], newline: str) -> None:
    """Every line that has no part in the edit stands, in its order."""
    at = 0
    padded = newline + _body(text) + newline
    for line in kept:
        found = padded.find(newline + line.text + newline, at)
        if found < 0:
            raise UntrueEditError(f"{line} is gone or elsewhere")
        at = found + len(newline + line.text)


def _check_notes(text: str, lines: list[Line], staying: list[Line]) -> None:
    """A comment beside a value that changed stays; one of a removed entry goes."""
    expected = {note for line in staying if (note := _note(line))}
    for note in filter(None, map(_note, lines)):
        if note.startswith("under") and note not in expected:
            continue  # whose it is depends on whether an edit left a blank below it
        if (note in text) is not (note in expected):
            told = "is lost" if note in expected else "was left behind"
            raise UntrueEditError(f"{note} {told}")


def _note(line: Line) -> str:
    last_line = line.text.rpartition("\n")[2]
    _, _, note = last_line.rpartition("# ")
    return note if note.endswith(".") else ""
