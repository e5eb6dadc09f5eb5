"""From text and environment to settings, or to problems that say where."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rensei_daemon.errors import SettingsError
from rensei_daemon.fast_dataclass import fields_of
from rensei_daemon.settings.host_checks import host_problems
from rensei_daemon.settings.loading import check_settings, load
from rensei_daemon.settings.texts import is_blank, parse
from rensei_daemon.settings.values import Cell, Project, Session, Settings

PATH = Path("/c/config.toml")


def loaded(text: str, **environ: str) -> Settings:
    """Load a text under an environment."""
    return load(text, path=PATH, environ=environ)


def problems(text: str, **environ: str) -> list[str]:
    """Return the lines of the error a text raises."""
    with pytest.raises(SettingsError) as caught:
        loaded(text, **environ)
    return str(caught.value).splitlines()


def test_order() -> None:
    """Command line, environment, file, default: the first that sets a key wins."""
    text = """
        [log]
        level = "warning"
        format = "json"
        [machine]
        region = "file"
        max_sessions = 9
    """
    environ = {
        "RENSEI_DAEMON_LOG__LEVEL": "error",
        "RENSEI_DAEMON_MACHINE__REGION": "env",
    }
    settings = load(text, path=PATH, environ=environ, overrides={"log": {"level": "debug"}})
    assert settings.log.level == "debug"
    assert settings.machine.region == "env"
    assert settings.log.format == "json"
    assert settings.machine.max_sessions == 9
    assert settings.heartbeat.interval_seconds == 30


@pytest.mark.parametrize(
    "text",
    [
        "[machine]\nmax_sessions = true",
        "[heartbeat]\ninterval_seconds = true",
        "[limits]\nstate_mib = false",
        "[[credentials.sessions]]\nid = 'a'\nsplay_seconds = true",
    ],
)
def test_true_is_no_number(text: str) -> None:
    """It would be 1: a heartbeat a second."""
    (problem,) = problems(text)
    assert problem.endswith(f".{text.split()[-3]}: must be a number")


def test_environment_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the environment that was handed in counts."""
    monkeypatch.setenv("RENSEI_DAEMON_LOG__LEVEL", "error")
    monkeypatch.setenv("LOG", "{}")
    assert loaded("").log.level == "info"


def test_environment_types() -> None:
    """A variable holds a number, a text, or a JSON list where the key is a list."""
    settings = loaded(
        "",
        RENSEI_DAEMON_HEARTBEAT__INTERVAL_SECONDS="2.5",
        RENSEI_DAEMON_MUTATIONS__ALLOW='["pool.deleted"]',
        RENSEI_DAEMON_CREDENTIALS__SESSIONS='[{"id": "build"}]',
        RENSEI_DAEMON_METRICS__LISTEN="[::1]:9464",
    )
    assert settings.heartbeat.interval_seconds == 2.5
    assert settings.mutations.allow == ("pool.deleted",)
    assert settings.credentials.sessions[0].id == "build"
    assert settings.metrics.address == ("::1", 9464)


def test_other_variables() -> None:
    """Variables that are no settings are not our business; an empty one is unset."""
    settings = loaded(
        "",
        RENSEI_DAEMON_CONFIG="/x",
        RENSEI_API_KEY="rsk_live_x",
        OTHER__THING="1",
        RENSEI_DAEMON_LOG__LEVEL="",
    )
    assert settings.log.level == "info"


def test_unknown_variables() -> None:
    """An unknown variable is an error that names the nearest one."""
    assert problems("", RENSEI_DAEMON_LOG__LEVLE="x", RENSEI_DAEMON_QQQ__Z="x") == [
        "RENSEI_DAEMON_LOG__LEVLE: unknown variable"
        ' (did you mean "RENSEI_DAEMON_LOG__LEVEL"?)',
        "RENSEI_DAEMON_QQQ__Z: unknown variable",
    ]


def test_one_underscore_instead_of_two() -> None:
    """A variable that spells a known key with one underscore is an error, set or empty."""
    assert problems(
        "", RENSEI_DAEMON_LOG_LEVEL="debug", RENSEI_DAEMON_PLATFORM_API_KEY_FILE=""
    ) == [
        "RENSEI_DAEMON_LOG_LEVEL: unknown variable"
        ' (did you mean "RENSEI_DAEMON_LOG__LEVEL", with two underscores?)',
        "RENSEI_DAEMON_PLATFORM_API_KEY_FILE: unknown variable"
        ' (did you mean "RENSEI_DAEMON_PLATFORM__API_KEY_FILE", with two underscores?)',
    ]
    assert loaded("", RENSEI_DAEMON_VERSION="1", RENSEI_DAEMON_LOG="x").log.level == "info"


def test_projects_are_not_in_the_environment() -> None:
    """What the platform keeps in step has no variables that would void the edits."""
    assert problems("", RENSEI_DAEMON_PROJECTS__A="{}", RENSEI_DAEMON_POOL__ID="x")


def test_bad_variables() -> None:
    """A bad value in a variable is placed at the variable, and not shown."""
    assert problems(
        "",
        RENSEI_DAEMON_LOG__LEVEL="CANARY",
        RENSEI_DAEMON_MUTATIONS__PROTECTED_PROJECTS="CANARY",
    ) == [
        "RENSEI_DAEMON_MUTATIONS__PROTECTED_PROJECTS: "
        'it must be a JSON list, like ["a", "b"]',
        "RENSEI_DAEMON_LOG__LEVEL: log.level: "
        'must be one of "debug", "info", "warning", "error"',
    ]


def test_bad_override() -> None:
    """A bad value from the command line is placed there."""
    with pytest.raises(SettingsError) as caught:
        load("", path=PATH, environ={}, overrides={"log": {"level": "loud"}})
    assert str(caught.value).startswith("command line: log.level: ")


def test_unknown_keys() -> None:
    """Every unknown key is named with its place and the nearest known key, in order."""
    text = """\
[platform]
  urll = "x"
[heartbeet]
[credentials]
sessions = [{ id = "a" }, { id = "b", env_fil = "b.env" }]
[projects]
p = { repositories = [], enabld = false }
"q r".enabled = 1
[model_access.workloads.x.matrix.anthropic]
byoc = { allowed = true }
byok = { alloweds = true }
"""
    assert problems(text) == [
        '/c/config.toml:2:3: unknown key "urll" in [platform] (did you mean "url"?)',
        '/c/config.toml:3:1: unknown key "heartbeet" at the top level'
        ' (did you mean "heartbeat"?)',
        '/c/config.toml:5:39: unknown key "env_fil" in [credentials.sessions[1]]'
        ' (did you mean "env_file"?)',
        '/c/config.toml:7:26: unknown key "enabld" in [projects.p]'
        ' (did you mean "enabled"?)',
        "/c/config.toml:8:7: projects.q r.enabled: must be true or false, without quotes",
        '/c/config.toml:10:1: unknown key "byoc" in'
        ' [model_access.workloads.x.matrix.anthropic] (did you mean "byok"?)',
        "/c/config.toml:11:1: [model_access.workloads.x.matrix.anthropic.byok]"
        ' lacks the key "allowed"',
        '/c/config.toml:11:10: unknown key "alloweds" in'
        ' [model_access.workloads.x.matrix.anthropic.byok] (did you mean "allowed"?)',
    ]


def test_names_are_matched_as_written() -> None:
    """A table in capitals is another table, and an unknown one."""
    assert problems("[Log]\n") == [
        '/c/config.toml:1:1: unknown key "Log" at the top level (did you mean "log"?)'
    ]


def test_hint() -> None:
    """The hint says how to check a fixed file."""
    with pytest.raises(SettingsError) as caught:
        loaded("x = 1")
    assert caught.value.hint == ("check it with: rensei-daemon config check /c/config.toml")
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b = \n", "/c/config.toml:1:5: this is no value: a text needs quotes"),
        ("[log", "/c/config.toml:1:5: the table's name lacks its ]"),
        ('a = "CANARY', "/c/config.toml:1:12: a text is not closed: a quote is missing"),
        ("a = " + "[" * 9999, "/c/config.toml: values are nested too deeply"),
    ],
)
def test_broken_text(text: str, expected: str) -> None:
    """Text that is no TOML is an error with line and column, without its content."""
    assert problems(text) == [expected]


def test_what_stands_twice_hides_nothing_else() -> None:
    """Repeated keys and tables are all named with their first place, and the rest too."""
    text = """\
[log]
level = "info"
  log.level = 3
level = "debug"
[machine]
name = [ "a", # one
  "b" ]
[log] # again
format = 7
[machine]
[platform]
url = [
  1,
]
url = 2
"""
    assert problems(text) == [
        '/c/config.toml:4:1: the key "log.level" is there twice; the first is on line 2',
        "/c/config.toml:8:1: [log] is there twice; the first is on line 1",
        "/c/config.toml:10:1: [machine] is there twice; the first is on line 5",
        '/c/config.toml:15:1: the key "platform.url" is there twice; '
        "the first is on line 12",
        '/c/config.toml:3:3: unknown key "log" in [log]',
        "/c/config.toml:6:1: machine.name: must be a text, in quotes",
        "/c/config.toml:12:1: platform.url: must be a text, in quotes",
    ]


def test_a_broken_line_hides_nothing_else() -> None:
    """The rest is read; problems that only a left out line may cause are not reported."""
    text = """\
[log]
level = debug
compress = 7
[[credentials.sessions]]
id = deploy
env_file = "a.env"
[machine]
name "a"
name = 1
region = "x
"""
    assert problems(text) == [
        "/c/config.toml:2:9: this is no value: a text needs quotes",
        "/c/config.toml:5:6: this is no value: a text needs quotes",
        "/c/config.toml:8:6: a = is missing after the key",
        "/c/config.toml:10:12: a text is not closed: a quote is missing",
        '/c/config.toml:3:1: unknown key "compress" in [log]',
        "/c/config.toml:9:1: machine.name: must be a text, in quotes",
    ]


@pytest.mark.parametrize(
    "broken", ["[log", "a = oops [", "a = oops }", 'a = oops """', "a = [\n[oops],\n1]"]
)
def test_nothing_is_said_below_a_line_that_may_go_on(broken: str) -> None:
    """It is not clear which lines belong to it."""
    (line,) = problems(f"{broken}\nlevel = 7\nunknown = 1\n")
    assert line.startswith("/c/config.toml:")


@pytest.mark.slow
@pytest.mark.parametrize("line", ["a = 1\n", "a = \n"])
def test_a_text_of_mistakes_costs_no_time(line: str) -> None:
    """The first fifty are sought, each with a parse."""
    lines = problems(line * 2000)
    assert len(lines) == 51
    assert lines[-1] == "and 1 more problems"


def test_everything_wrong_is_told_at_once() -> None:
    """Unknown keys, types, rules of single keys and rules across keys, in file order."""
    text = """\
[platform]
client_key_file = "k"
[machine]
max_sessions = "many"
[credentials]
group = "no-such-group-here"
[[credentials.sessions]]
id = "a"
env_file = "f"
color = 1
[[credentials.sessions]]
id = "a"
env_file = "f"
[[credentials.sessions]]
on_rotate = "x"
"""
    with pytest.raises(SettingsError) as caught:
        load(
            text,
            path=PATH,
            environ={"RENSEI_DAEMON_LOG_LEVEL": "x"},
            runtime=Path("/run"),
            check=host_problems,
        )
    told = caught.value.problems
    assert [(p.line, p.column, p.key) for p in told] == [
        (None, None, "RENSEI_DAEMON_LOG_LEVEL"),
        (1, 1, "platform.url"),
        (2, 1, "platform.client_key_file"),
        (4, 1, "machine.max_sessions"),
        (6, 1, "credentials.group"),
        (10, 1, "credentials.sessions[0].color"),
        (12, 1, "credentials.sessions[1].id"),
        (13, 1, "credentials.sessions[1].env_file"),
        (14, 1, "credentials.sessions[2]"),
        (15, 1, "credentials.sessions[2].on_rotate"),
    ]
    assert [p.message for p in told][1:5] == [
        "platform.url is not set",
        "platform.client_key_file needs client_cert_file beside it",
        "machine.max_sessions: must be a whole number",
        "credentials.group: there is no group no-such-group-here on this host",
    ]
    assert told[-1].message == (
        "credentials.sessions[2].on_rotate: must be a list of texts, each in quotes"
    )


def test_one_problem_of_the_host_says_what_mends_it() -> None:
    """The second line is a command, not where to look for it."""
    text = '[platform]\nurl = "https://a.test"\n[control]\ngroup = "no-such-group"\n'
    with pytest.raises(SettingsError) as caught:
        load(text, path=PATH, environ={}, check=host_problems)
    assert str(caught.value) == (
        "/c/config.toml:4:1: control.group: there is no group no-such-group on this host"
    )
    assert caught.value.hint == "make it: groupadd --system no-such-group"


def test_every_refusal_is_plain() -> None:
    """No message of a library about types is shown, whatever a key may not hold."""
    wrong = ["", "x\0", 1, -1, 0.5, 10**30, True, [], [1], [[]], {}, {"a": 1}, None]
    for section, kind in Settings.__annotations__.items():
        for value in wrong:
            _assert_plain({section: value})
            for key in fields_of(kind) or ():
                _assert_plain({section: {key: value}})
    for value in wrong:
        for key in fields_of(Session) or ():
            _assert_plain({"credentials": {"sessions": [{"id": "a", key: value}]}})
        for key in fields_of(Project) or ():
            _assert_plain({"projects": {"p": {key: value}}})
        for key in fields_of(Cell) or ():
            cell = {"allowed": True, key: value}
            _assert_plain({"model_access": {"default": {"matrix": {"*": {"byok": cell}}}}})


def _assert_plain(tree: Mapping[str, object]) -> None:
    try:
        check_settings(tree)
    except SettingsError as error:
        told = str(error)
        for word in ("valid", "should", "tuple", "dict", "instance", "boolean", "type="):
            assert word not in told, (tree, told)


def test_many_problems() -> None:
    """The first fifty problems are listed, the others counted."""
    lines = problems("".join(f"key{n} = 1\n" for n in range(60)))
    assert len(lines) == 51
    assert lines[-1] == "and 10 more problems"


def test_values_are_never_shown() -> None:
    """A refused value may be a secret that was put in the wrong place."""
    text = """
        [platform]
        url = "https://CANARY:CANARY@example.com"
        api_key = "rsk_live_CANARY"
        ca_file = 7
        [machine]
        max_sessions = "CANARY"
        [mutations]
        allow = ["CANARY"]
        [credentials]
        [[credentials.sessions]]
        id = "C A N A R Y"
        env_file_mode = "CANARY"
        on_rotate = "CANARY"
        [pool]
        since = "CANARY"
    """
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    shown = f"{caught.value!r} {caught.value} {caught.value.hint}"
    assert "CANARY" not in shown
    assert "C A N A R Y" not in shown
    assert caught.value.__context__ is None


def test_relative_paths() -> None:
    """A relative path starts at the config's directory, wherever it is set."""
    settings = load(
        '[platform]\nca_file = "ca.pem"\napi_key_file = "/k"\n[paths]\nstate = "s"\n',
        path=PATH,
        environ={"RENSEI_DAEMON_PATHS__RUNTIME": "r"},
        overrides={"log": {"file": "l"}},
    )
    assert settings.platform.ca_file == Path("/c/ca.pem")
    assert settings.platform.api_key_file == Path("/k")
    assert settings.paths.state == Path("/c/s")
    assert settings.paths.runtime == Path("/c/r")
    assert settings.log.file == Path("/c/l")


def test_accept() -> None:
    """A tree is accepted or refused by key path, without any environment."""
    check_settings(parse("[projects]\na = {}\n", path=PATH))
    with pytest.raises(SettingsError) as caught:
        check_settings({"projects": {"a": {"enabled": 3}}, "x": 1})
    assert str(caught.value).splitlines() == [
        "projects.a.enabled: must be true or false, without quotes",
        'unknown key "x" at the top level',
    ]


@pytest.mark.slow
def test_accept_is_fast() -> None:
    """Ten thousand projects are checked in a few times what writing them as JSON takes.

    In a process of its own: what other tests have left in this one slows either down.
    """
    command = [sys.executable, "-c", COSTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    check, floor = map(float, done.stdout.split())
    assert check < 16 * floor  # 4 to 5 with Python 3.11, 10 with 3.13, which writes faster


COSTS = """
import json, time
from rensei_daemon.settings.loading import check_settings

project = {"repositories": ["https://github.com/acme/api"], "enabled": True}
tree = {"projects": {f"proj_{n}": project for n in range(10_000)}}
for work in check_settings, json.dumps:
    costs = []
    for _ in range(5):
        start = time.thread_time()
        work(tree)
        costs.append(time.thread_time() - start)
    print(min(costs))
"""
"""Prints the processor time of the fastest of five runs of each."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), (" \n\t\n", True), ("# all\n  # gone", True), ("[log]", False)],
)
def test_is_blank(text: str, expected: bool) -> None:
    """A text of blanks and comments sets nothing."""
    assert is_blank(text) is expected


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Some editors write one; it shifts no column, and alone it sets nothing."""
    assert loaded('\ufeff[log]\nlevel = "debug"\n').log.level == "debug"
    assert problems("\ufefflog.depth = 1\n")[0].startswith("/c/config.toml:1:5: ")
    assert is_blank("\ufeff\n# nothing\n")
