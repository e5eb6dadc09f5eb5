"""What may reach a process, what changed, and that no repr shows a value."""

import pytest

from rensei_daemon.core.credential import Credentials, difference, filter_values

FORBIDDEN = [
    "RENSEI_DAEMON_JWT",
    "RENSEI_DAEMON_API_KEY",
    "RENSEI_RUNTIME_JWT",
    "DONMAI_DAEMON_JWT",
    "DONMAI_DAEMON_API_KEY",
    "DONMAI_RUNTIME_JWT",
    "DONMAI_DAEMON_TOKEN",
    "DONMAI_ORCHESTRATOR_URL",
    "DONMAI_CREDENTIAL_CAPABILITY",
    "DONMAI_CONTROL_TOKEN",
    "DONMAI_CONTROL_TOKEN_FILE",
    "M2M_JWT_SECRET",
    "AUDIT_SIGNING_KEY_PRIVATE",
    "AUDIT_SIGNING_KEY_PUBLIC",
    "WORKOS_API_KEY",
    "WORKOS_COOKIE_PASSWORD",
    "WORKER_API_KEY",
    "CODE_INTEL_HOST_JWT_SECRET",
    "LD_PRELOAD",
    "LD_",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "BASH_FUNC_x",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_0",
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONBREAKPOINT",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXEC_PATH",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "RENSEI_CREDENTIAL_SOCKET",
    "DONMAI_CREDENTIAL_SESSION_ID",
]
NO_NAMES = ["", "1A", "A-B", "A B", "A=B", "É", "A\n", "\nA", "A\0", "BASH_FUNC_x%%", "a.b"]


@pytest.mark.parametrize("name", [*FORBIDDEN, *NO_NAMES])
def test_a_name_that_would_harm_is_dropped(name: str) -> None:
    """The platform's own secrets, what hijacks a child, and what is no name at all."""
    found = filter_values({name: "v", "TOKEN": "t"})
    assert (dict(found.env), found.dropped) == ({"TOKEN": "t"}, (name,))


@pytest.mark.parametrize(
    "name",
    [
        "_",
        "a",
        "GITHUB_TOKEN",
        "path",
        "Path",
        "MY_PATH",
        "PATHS",
        "LD",
        "XLD_A",
        "GIT_TOKEN",
    ],
)
def test_a_name_that_only_looks_alike_passes(name: str) -> None:
    """Names are matched exactly and by their case, as the kernel does."""
    assert filter_values({name: "v"}).dropped == ()


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x\udfff"])
def test_a_value_no_environment_can_hold_drops_its_name_only(value: str) -> None:
    """NUL and lone surrogates cost one name, not the snapshot."""
    found = filter_values({"BAD": value, "GOOD": "", "LINES": "a\nb", "EMOJI": "🙂"})
    assert found.dropped == ("BAD",)
    assert found.env == {"GOOD": "", "LINES": "a\nb", "EMOJI": "🙂"}


def test_a_generation_rises_with_a_change_only() -> None:
    """The first set counts even when empty; an equal one is no news."""
    nothing = Credentials()
    empty = nothing.replaced({})
    assert (nothing.generation, empty.generation) == (0, 1)
    assert empty.replaced({}) is empty
    one = empty.updated({"A": "1"})
    assert (one.generation, dict(one.env)) == (2, {"A": "1"})
    assert one.updated({"A": "1"}) is one
    assert one.replaced({}).generation == 3


def test_the_difference_names_what_came_changed_and_went() -> None:
    """Values of new and changed names, and the removed names."""
    before = Credentials(1, {"KEPT": "k", "CHANGED": "1", "GONE": "g"})
    after = before.replaced({"KEPT": "k", "CHANGED": "2", "NEW": "n"})
    found = difference(before, after)
    assert found.changed == {"CHANGED": "2", "NEW": "n"}
    assert found.removed == ("GONE",)
    assert found.names == ("CHANGED", "GONE", "NEW")
    assert found
    assert not difference(after, after)


def test_no_repr_shows_a_value() -> None:
    """Whatever prints one of these prints no secret."""
    canary = {"TOKEN": "canary-7f3a"}
    credentials = Credentials(1, canary)
    shown = repr(
        (credentials, filter_values(canary), difference(Credentials(), credentials))
    )
    assert "canary-7f3a" not in shown
