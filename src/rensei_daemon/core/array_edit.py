"""Edit an array in place: unchanged elements keep their spelling and comments.

Rules of this module:

1. An element consists of the text before its value (line end, comments, indentation), the
   value, and the rest of its line. The texts before and after contain no value, so they
   can be moved and removed.
2. An element that the new array has as well is moved as a whole. A new one is spelled like
   its neighbours: on its own line if they have one.
3. A comment above a value belongs to it, unless a blank line separates them.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from rensei_daemon.core.toml_scanner import tokens
from rensei_daemon.fast_dataclass import dataclass, replace


@dataclass(frozen=True, slots=True)
class _Element:
    lead: str
    value: str
    tail: str = ""


@dataclass(frozen=True, slots=True)
class _Array:
    head: str
    """The rest of the line after the opening bracket."""
    elements: list[_Element]
    closing: str
    """The text before the closing bracket, from the line after the last value."""
    has_last_comma: bool

    @property
    def newline(self) -> str:
        """The line end between elements; empty if they share a line."""
        leads = [element.lead for element in self.elements] or [self.closing]
        ends = [end for lead in leads for end in ("\r\n", "\n") if end in lead]
        return ends[0] if ends else ""

    @property
    def indent(self) -> str:
        lead = self.elements[-1].lead if self.elements else ""
        return lead.rpartition("\n")[2] if "\n" in lead else "  "


def edit_array(text: str, before: Sequence[Any], after: Sequence[tuple[Any, str]]) -> str:
    """Return the array's text with other values; `after` has each with its spelling.

    `before` is the array that the text means.
    """
    array = _parsed(text)
    if len(array.elements) != len(before):
        raise ValueError("an array does not hold what it means")
    olds = defaultdict[str, deque[int]](deque)
    for index, value in enumerate(before):
        olds[repr(value)].append(index)
    fresh = array.newline + array.indent
    chosen: list[int | _Element] = [
        olds[repr(value)].popleft() if olds[repr(value)] else _Element(fresh, spelling)
        for value, spelling in after
    ]
    old_elements, closing = _kept_elements(array, {e for e in chosen if isinstance(e, int)})
    elements = [old_elements[e] if isinstance(e, int) else e for e in chosen]
    return _written(replace(array, closing=closing), elements)


def _kept_elements(array: _Array, indices: set[int]) -> tuple[dict[int, _Element], str]:
    """Return the elements that stay, and the closing with the comments of removed ones."""
    kept: dict[int, _Element] = {}
    loose = ""
    for index, element in enumerate(array.elements):
        if index in indices:
            kept[index] = replace(element, lead=loose + element.lead)
            loose = ""
        else:
            loose += _unowned_comments(element.lead)
    return kept, loose + array.closing


def _unowned_comments(lead: str) -> str:
    """Return the comments that a blank line separates from the value."""
    lines = lead.split("\n")
    blanks = [i for i in range(1, len(lines) - 1) if not lines[i].strip()]
    loose = "\n".join(lines[: blanks[-1] + 1]).removesuffix("\r") if blanks else ""
    return loose if "#" in loose else ""


def _written(array: _Array, elements: Sequence[_Element]) -> str:
    text = f"[{array.head}"
    has_comment = "#" in array.head
    for position, element in enumerate(elements):
        lead = element.lead
        if "\n" not in lead:
            lead = _lead_on_a_line(array, position, after_comment=has_comment)
        is_last = position == len(elements) - 1
        comma = "" if is_last and not array.has_last_comma else ","
        text += lead + element.value + comma + element.tail
        has_comment = "#" in element.tail
    is_line_missing = has_comment and "\n" not in array.closing
    return text + ("\n" if is_line_missing else "") + array.closing + "]"


def _lead_on_a_line(array: _Array, position: int, *, after_comment: bool) -> str:
    if after_comment:
        return (array.newline or "\n") + array.indent
    if position:
        return " "
    first = array.elements[0].lead if array.elements else ""
    return first if "\n" not in first else ""


def _parsed(text: str) -> _Array:
    gaps, values = _gaps_and_values(text)
    head, lead = _at_line_end(gaps[0])
    elements: list[_Element] = []
    has_comma = "\n" in gaps[0]
    for value, gap in zip(values, gaps[1:], strict=True):
        before_comma, has_comma, behind = _at_comma(gap)
        tail, rest = _at_line_end(behind)
        elements.append(_Element(lead, value + before_comma, tail))
        lead = rest
    return _Array(head, elements, lead, has_comma)


def _gaps_and_values(text: str) -> tuple[list[str], list[str]]:
    """Return the texts between the values (one more than the values), and the values."""
    gaps, values = [""], list[str]()
    depth, is_within = 0, False
    for token in tokens(text[1:-1], 0):
        sort = token.lastgroup
        if depth == 0 and sort in ("space", "newline", "comment", "comma"):
            gaps[-1] += token[0]
            is_within = is_within and sort != "comma"
        elif is_within:  # a date and a time are separated by a space
            values[-1] += gaps[-1] + token[0]
            gaps[-1] = ""
        else:
            values.append(token[0])
            gaps.append("")
            is_within = True
        depth += (sort == "open") - (sort == "close")
    return gaps, values


def _at_comma(gap: str) -> tuple[str, bool, str]:
    """Split the text between two values at its comma, if any."""
    for token in tokens(gap, 0):
        if token.lastgroup == "comma":
            return gap[: token.start()], True, gap[token.end() :]
    return "", False, gap


def _at_line_end(text: str) -> tuple[str, str]:
    """Split a text before its first line end; without one, the first part is empty."""
    at = text.find("\n")
    if at > 0 and text[at - 1] == "\r":
        at -= 1
    return (text[:at], text[at:]) if at >= 0 else ("", text)
