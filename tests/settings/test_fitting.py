"""Settings of a text that fits are those of the model, and all others are left to it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.document import Document
from rensei_daemon.errors import SettingsError
from rensei_daemon.fast_dataclass import fields_of
from rensei_daemon.settings.building import UnfitError
from rensei_daemon.settings.fitting import FittingValidator
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Credentials, File, Session, Settings

EXAMPLE_OF_A_KEY = re.compile(r"^# (?=\[|[a-z_-]+ = )", re.MULTILINE)
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
PATH = Path("/c/config.toml")
RUNTIME = Path("/c/run")
URL = "[platform]\nurl = 'https://a.test'\n"
SESSIONS = URL + "[[credentials.sessions]]\nid = 'a'\nenv_file = 'f'\n"


class Refusing:
    """A validator that shows that it was asked."""

    def load(self, _: Document, *, on_host: bool = False) -> Settings:
        """Raise."""
        raise UnfitError

    def accept(self, _: Document) -> Settings:
        """Raise."""
        raise UnfitError


def sources(
    environ: Mapping[str, str] = {}, overrides: Mapping[str, object] = {}
) -> Sources:
    """Return the places beside a text."""
    return Sources(path=PATH, runtime=RUNTIME, environ=environ, overrides=overrides)


def outcome(work: Callable[[], Settings]) -> Settings | None:
    """Return the settings; None for a text that has none."""
    try:
        return work()
    except SettingsError:
        return None


def assert_the_same(text: str, places: Sources) -> bool:
    """Assert that what fits is what the model makes of it; return whether it fits."""
    fitting, model = FittingValidator(places, Refusing()), LocalValidator(places)
    document = Document(text)
    fits = []
    for ours, theirs in (
        (fitting.accept, model.accept),
        (fitting.load, model.load),
        (
            lambda text: fitting.load(text, on_host=True),
            lambda text: model.load(text, on_host=True),
        ),
    ):
        expected = outcome(lambda of=theirs: of(document))  # type: ignore[misc]
        try:
            assert ours(document) == expected
        except UnfitError:
            fits.append(False)
        else:
            fits.append(True)
    return all(fits)


def test_the_example_fits() -> None:
    """As it is, once it names a platform."""
    text = EXAMPLE.read_text().replace("your-platform.invalid", "a.test")
    assert assert_the_same(text, sources())


def test_every_key_fits_as_it_is_usually_written() -> None:
    """Each commented key of the example, too; its groups need not be on this host."""
    text = EXAMPLE.read_text().replace("\nsessions = []\n", "\n")
    document = Document(EXAMPLE_OF_A_KEY.sub("", text))
    fitting = FittingValidator(sources(), Refusing())
    assert fitting.accept(document) == LocalValidator(sources()).accept(document)


@pytest.mark.parametrize(
    ("text", "environ", "overrides"),
    [
        (URL, {"RENSEI_DAEMON_LOG__LEVEL": "debug"}, {}),
        (URL, {"RENSEI_DAEMON_MUTATIONS__ALLOW": '["project.*"]'}, {}),
        (URL, {"RENSEI_DAEMON_PATHS__STATE": "state", "RENSEI_API_KEY": "k"}, {}),
        (URL, {"RENSEI_DAEMON_LOG__LEVEL": "debug"}, {"log": {"level": "error"}}),
        (URL + "ca_file = 'ca.pem'\n", {}, {}),
        (URL + "[heartbeat]\ninterval_seconds = 15\n", {}, {}),
        ("\ufeff" + SESSIONS, {}, {}),
    ],
)
def test_layers(
    text: str, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> None:
    """The command line is above the environment, and that above the file."""
    assert assert_the_same(text, sources(environ, overrides))


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("", {}),
        ("[log\n", {}),
        (URL + "x = " + "[" * 5000 + "]" * 5000, {}),
        (URL + "[machine]\nmax_sessions = 4.0\n", {}),
        (URL + "[machine]\nmax_sessions = true\n", {}),
        (URL + "[heartbeat]\ninterval_seconds = inf\n", {}),
        (URL + "[heartbeat]\ninterval_seconds = 1" + "0" * 400, {}),
        (URL + "[limits]\nstate_mib = 1" + "0" * 400, {}),
        (URL + "[control]\ngroup = 'no-such-group'\n", {}),
        (URL + '[control]\ngroup = "\\u0000"\n', {}),
        (SESSIONS + 'group = "\\u0000"\n', {}),
        (URL + '[paths]\nstate = "/\\u0000"\n', {}),
        (SESSIONS.replace("'f'", '"\\u0000"'), {}),
        (SESSIONS.replace("'f'", '"\\u0000/f"'), {}),
        (URL + "client_cert_file = 'c.pem'\n", {}),
        (SESSIONS + "[[credentials.sessions]]\nid = 'b'\nenv_file = 'f'\n", {}),
        (SESSIONS + "[[credentials.sessions]]\nid = 'a'\n", {}),
        (SESSIONS.replace("'f'", "'/c/config.toml'"), {}),
        (SESSIONS + "[log]\nfile = '/'\nlevel = 'x'\n", {}),
        (URL, {"RENSEI_DAEMON_MACHINE__MAX_SESSIONS": "7"}),
        (URL, {"RENSEI_DAEMON_MACHINE__NAME": "\udcff"}),
        (URL, {"RENSEI_DAEMON_MUTATIONS__ALLOW": "[" * 100_000}),
        (URL, {"RENSEI_DAEMON_LOG_LEVEL": "debug"}),
        (URL, {"RENSEI_DAEMON_LOG__LEVLE": "debug"}),
    ],
)
def test_what_is_left_to_the_model(text: str, environ: Mapping[str, str]) -> None:
    """A text with a problem, one for a host that has one, and one that is unusual."""
    assert not assert_the_same(text, sources(environ))


def test_a_text_that_a_rule_fails_at_is_left_to_the_model() -> None:
    """A place that cannot be looked up, say: it must not end the daemon that asks."""
    places = Sources(path=PATH, runtime=Path("/\0"))
    fitting = FittingValidator(places, LocalValidator(sources()))
    document = Document(SESSIONS)
    assert fitting.load(document) == LocalValidator(sources()).load(document)


LEAVES = st.one_of(
    st.sampled_from(
        ["", "a", "0440", "env", "json", "info", "project.*", "/f", "../f", "token"]
    ),
    st.sampled_from(["https://b.test/", "http://b.test", "127.0.0.1:1", "x" * 65]),
    st.booleans(),
    st.integers(-1, 300),
    st.floats(width=16),
)
VALUES = st.one_of(
    LEAVES, st.lists(LEAVES, max_size=2), st.dictionaries(st.sampled_from("AB"), LEAVES)
)


USUAL = {
    "url": "https://b.test:1/x/",
    "allow": ["project.*", "pool.deleted"],
    "mode": "0400",
    "env_file_mode": "600",
    "listen": "[::1]:9464",
    "on_rotate": ["/bin/true", "a b"],
    "max_sessions": 7,
    "state_mib": 48,
    "interval_seconds": 15,
    "splay_seconds": 0.5,
    "names": ["A"],
    "rename": {"A": "B"},
    "protected_projects": ["p"],
}
"""Of keys whose values are no plain texts or paths."""


@st.composite
def tables(
    draw: st.DrawFn, /, kind: Any, **others: st.SearchStrategy[Any]
) -> dict[str, Any]:
    """Return a table with some keys of a class of values; most hold what is usual."""
    names = draw(st.sets(st.sampled_from([*(fields_of(kind) or ())]), min_size=1))
    made: dict[str, Any] = {}
    for name in sorted(names):
        usual = st.just(USUAL.get(name, f"a-{name}"))
        if get_origin(kind.__annotations__[name]) is Literal:
            usual = st.sampled_from(get_args(kind.__annotations__[name]))
        odd = draw(st.integers(0, 7)) == 0
        made[name] = draw(others.get(name, VALUES if odd else usual))
    return made


FILES = st.lists(tables(File), max_size=2)
SESSION = tables(Session, files=FILES, id=st.sampled_from(["a", "b", "c", "a b"]))
CREDENTIALS = tables(Credentials, sessions=st.lists(SESSION, max_size=2))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Return any values of one to three tables."""
    names = [n for n, kind in Settings.__annotations__.items() if fields_of(kind)]
    return {
        name: draw(CREDENTIALS if name == "credentials" else tables(_kind(name)))
        for name in draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))
    }


def _kind(name: str) -> Any:
    return Settings.__annotations__[name]


@given(trees())
def test_what_fits_is_what_the_model_makes_of_it(tree: dict[str, Any]) -> None:
    """For any values of any keys: the same settings, or none."""
    assert_the_same(tomlkit.dumps(tree), sources())
