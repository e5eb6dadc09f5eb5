r"""A session's values as the text of an env file.

systemd's `EnvironmentFile=` and the POSIX shell's `.` read a double-quoted string the same
way: a backslash protects `"`, `\`, `$` and a backquote; everything else, including line
breaks, is literal. systemd has limits of its own: before 248 it omits a variable with a
control character other than tab and line break, and a Unicode noncharacter (U+FFFE, U+FDD0,
…) anywhere makes it refuse the whole file.
"""

import re
from collections.abc import Mapping

_SPECIAL = re.compile(r'["\\$`]')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ENTRY = re.compile(
    r'^([A-Za-z_][A-Za-z0-9_]*)="([^"\\]*+(?:\\.[^"\\]*+)*)"$', re.DOTALL | re.MULTILINE
)


def render_env_file(env: Mapping[str, str]) -> str:
    """Return lines `NAME="value"`, sorted by name."""
    return "".join(f'{name}="{escape(value)}"\n' for name, value in sorted(env.items()))


def read_env_file(text: str) -> dict[str, str]:
    """Return the values in a text from `render_env_file`; other lines are ignored."""
    return {name: _ESCAPED.sub(r"\1", inside) for name, inside in _ENTRY.findall(text)}


def escape(value: str) -> str:
    """Escape a value for the place between the quotes."""
    return _SPECIAL.sub(_escaped, value)


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[0]
