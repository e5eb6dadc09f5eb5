"""`install` and `uninstall`, on systems that are only directories."""

import json
import os
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from rensei_daemon import __version__
from rensei_daemon.cli import install, uninstall
from rensei_daemon.cli import own_program as program_module
from rensei_daemon.cli.completion import script_places
from rensei_daemon.cli.install_paths import running, system_paths
from rensei_daemon.cli.install_steps import LinkProgram, RemoveTree, RunProgram
from rensei_daemon.cli.own_program import (
    PACKAGED_PROGRAM,
    is_on_path,
    out_of_reach,
    removal,
    require_reach,
    source,
)
from rensei_daemon.cli.package_files import package_file
from rensei_daemon.cli.root import main as root_main
from rensei_daemon.cli.root import root as root_command
from rensei_daemon.errors import NotPermittedError, RenseiError, UsageError

PROGRAM = Path(sys.executable).with_name("rensei-daemon")
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"

needs_root = pytest.mark.needs("root", "systemd-sysusers")


def invoke(command: click.Command, *words: str) -> Result:
    """Run a command; its errors are raised."""
    assert command.name is not None
    # By way of the root, whose settings click would else forget for the whole process.
    return CliRunner().invoke(root_command, [command.name, *words], catch_exceptions=False)


def files(root: Path) -> set[str]:
    """Name every file and directory below a root that is ours."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if "rensei" in path.name or "rensei" in path.parent.name
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with no service manager running."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CONFIG_HOME", "STATE_HOME", "DATA_HOME", "RUNTIME_DIR"):
        monkeypatch.delenv(f"XDG_{variable}", raising=False)
    return tmp_path


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """A dry run names each step and the next commands, and leaves the system alone."""
    said = invoke(install.command, f"--root={tmp_path}", "--dry-run").stdout.splitlines()
    etc = tmp_path / "etc"
    assert said == [
        f"would write {etc}/sysusers.d/rensei-daemon.conf",
        f"would run systemd-sysusers --root={tmp_path} rensei-daemon.conf",
        f"would write {etc / 'tmpfiles.d/rensei-daemon.conf'}",
        f"would run systemd-tmpfiles --create --root={tmp_path} rensei-daemon.conf",
        f"would make {etc}/credstore",
        f"would write {etc}/rensei-daemon/config.toml",
        f"would write {etc}/systemd/system/rensei-daemon.service",
        f"would write {tmp_path}/usr/share/bash-completion/completions/rensei-daemon",
        f"would write {tmp_path}/usr/share/zsh/site-functions/_rensei-daemon",
        f"would write {tmp_path}/usr/share/fish/vendor_completions.d/rensei-daemon.fish",
        f"would link {tmp_path}/usr/local/bin/rensei-daemon",
        "",
        "next:",
        f"  {PROGRAM} install --root {tmp_path} --key-file -    # asks for the API key",
        f"  ${{EDITOR:-vi}} {etc}/rensei-daemon/config.toml",
        f"  {PROGRAM} config check {etc}/rensei-daemon/config.toml",
        f"  systemctl --root={tmp_path} enable rensei-daemon",
    ]
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_the_system_is_laid_out(tmp_path: Path) -> None:
    """Unit, user, directories and config are there, each with its owner and mode."""
    invoke(install.command, f"--root={tmp_path}")
    etc = tmp_path / "etc"
    unit = (etc / "systemd/system/rensei-daemon.service").read_text()
    assert f"\nExecStart={PROGRAM} run\n" in unit
    assert f"\nExecReload={PROGRAM} reload\n" in unit
    name, _, uid, gid, *_ = (etc / "passwd").read_text().split(":")
    assert name == "rensei-daemon"
    for path, mode in ((etc / "rensei-daemon", 0o755), (config(tmp_path), 0o644)):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (int(uid), int(gid))
        assert found.st_mode & 0o7777 == mode
    assert (etc / "credstore").stat().st_mode & 0o7777 == 0o700
    assert config(tmp_path).read_text() == EXAMPLE.read_text()
    assert (tmp_path / "usr/local/bin/rensei-daemon").readlink() == PROGRAM


def config(root: Path) -> Path:
    """Return where the config of a system is."""
    return root / "etc/rensei-daemon/config.toml"


@needs_root
def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    """Every file is kept at a second run, and a config that was edited most of all."""
    invoke(install.command, f"--root={tmp_path}")
    config(tmp_path).write_text("# mine\n")
    said = invoke(install.command, f"--root={tmp_path}").stdout
    steps = said.split("\nnext:")[0].splitlines()
    assert [line.split()[0] for line in steps] == [
        "kept", "ran", "kept", "ran", "kept", "kept", "kept", "kept", "kept", "kept",
        "kept",
    ]  # fmt: skip
    assert config(tmp_path).read_text() == "# mine\n"


def test_an_old_unit_is_brought_up_to_date(home: Path) -> None:
    """A unit of another version is written over; an enabled one wants a restart."""
    invoke(install.command, "--user")
    unit = home / ".config/systemd/user/rensei-daemon.service"
    wants = unit.parent / "default.target.wants"
    wants.mkdir()
    (wants / unit.name).symlink_to(unit)
    current = unit.read_text()
    unit.write_text("[Service]\n")
    said = invoke(install.command, "--user").stdout
    assert f"wrote {unit}" in said
    assert unit.read_text() == current
    assert "  systemctl --user restart rensei-daemon\n" in said


@needs_root
def test_uninstalling_leaves_the_operators_files(tmp_path: Path) -> None:
    """What install wrote goes, but for the config; a second run finds nothing to do."""
    invoke(install.command, f"--root={tmp_path}")
    first = invoke(uninstall.command, f"--root={tmp_path}").stdout
    assert files(tmp_path) == {
        "etc/rensei-daemon",
        "etc/rensei-daemon/config.toml",
        "usr/local/bin/rensei-daemon",
    }
    assert f"rm -r {tmp_path}/etc/rensei-daemon {tmp_path}/var/lib/rensei-daemon" in first
    assert f" {tmp_path}/usr/local/bin/rensei-daemon\n" in first
    assert f"  userdel --prefix {tmp_path} rensei-daemon\n" in first  # not of this host
    second = invoke(uninstall.command, f"--root={tmp_path}").stdout
    steps = second.split("\nleft")[0].splitlines()
    assert {line.split(" /")[0] for line in steps} == {"found no"}


def test_a_user_gets_a_service_of_their_own(home: Path) -> None:
    """Unit and config are in the user's directories, with a key file beside the config."""
    said = invoke(install.command, "--user").stdout
    settings = home / ".config/rensei-daemon/config.toml"
    unit = home / ".config/systemd/user/rensei-daemon.service"
    assert files(home) == {
        ".config/rensei-daemon",
        ".config/rensei-daemon/config.toml",
        ".config/systemd/user/rensei-daemon.service",
        ".local/share/bash-completion/completions/rensei-daemon",
        ".local/share/fish/vendor_completions.d/rensei-daemon.fish",
        ".local/share/zsh/site-functions/_rensei-daemon",
    }
    assert '\napi_key_file = "api-key"\n' in settings.read_text()
    start = f"ExecStart={PROGRAM} run --config %E/rensei-daemon/config.toml"
    assert f"\n{start}\n" in unit.read_text()
    assert f"  {PROGRAM} status --config {settings}\n" in said
    left = invoke(uninstall.command, "--user").stdout
    assert f"  rm -r {settings.parent} {home}/.local/state/rensei-daemon\n" in left
    assert files(home) == {".config/rensei-daemon", ".config/rensei-daemon/config.toml"}


@pytest.mark.parametrize(
    ("is_debian", "place"), [(True, "vendor-completions"), (False, "site-functions")]
)
def test_each_shell_finds_its_completion(
    tmp_path: Path, is_debian: bool, place: str
) -> None:
    """They lie where packages put theirs, and for zsh that is the distribution's choice."""
    share = tmp_path / "usr/share"
    if is_debian:
        (share / "zsh/vendor-completions").mkdir(parents=True)
    assert script_places(system_paths(tmp_path).share) == {
        "bash": share / "bash-completion/completions/rensei-daemon",
        "zsh": share / f"zsh/{place}/_rensei-daemon",
        "fish": share / "fish/vendor_completions.d/rensei-daemon.fish",
    }


def test_a_system_that_cannot_be_written_has_a_local_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /usr is read-only the completions go beside it, and install goes on."""
    (tmp_path / "usr/share").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert system_paths(tmp_path).share == tmp_path / "usr/share"  # root may write there
    as_it_is = os.statvfs(tmp_path)
    read_only = (*as_it_is[:8], as_it_is.f_flag | os.ST_RDONLY, *as_it_is[9:])
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(read_only))
    assert system_paths(tmp_path).share == tmp_path / "usr/local/share"


@pytest.mark.parametrize("command", [install.command, uninstall.command])
def test_a_script_gets_the_plan_as_json(tmp_path: Path, command: click.Command) -> None:
    """The steps and what is left to do are the lines people get, in lists."""
    words = (f"--root={tmp_path}", "--dry-run")
    told = json.loads(invoke(command, *words, "--json").stdout)
    lines = [line for line in invoke(command, *words).stdout.splitlines() if line]
    rest = "next" if command is install.command else "left"
    assert list(told) == ["dry_run", "steps", rest]
    assert told["dry_run"] is True
    assert [*told["steps"], *told[rest]] == [
        line.strip() for line in lines if not line.endswith(":")
    ]


def test_a_user_has_no_image() -> None:
    """--user and --root ask for two things at once."""
    with pytest.raises(UsageError):
        install.chosen_paths(user=True, root=Path("/srv/image"), dry_run=False)


def test_only_root_changes_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may look at the plan; carrying it out takes root, or --user."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotPermittedError) as refused:
        install.chosen_paths(user=False, root=Path("/"), dry_run=False)
    assert "--user" in refused.value.hint
    install.chosen_paths(user=False, root=Path("/"), dry_run=True)


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    """What systemd's program said is in the error, with the command."""
    step = RunProgram(("sh", "-c", "echo no room >&2; exit 3"))
    with pytest.raises(RenseiError, match="no room"):
        step.carry_out()
    with pytest.raises(RenseiError, match="there is no no-such-program on this host"):
        RunProgram(("no-such-program",)).carry_out()


@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("/opt/r/bin/rensei-daemon", "/opt/r/bin/rensei-daemon"),
        ("/opt/50%/rensei-daemon", "/opt/50%%/rensei-daemon"),
        ("/opt/a b/rensei-daemon", '"/opt/a b/rensei-daemon"'),
        ('/opt/"/rensei-daemon', '"/opt/\\"/rensei-daemon"'),
    ],
)
def test_the_program_is_spelled_as_systemd_reads_it(program: str, word: str) -> None:
    """Spaces, quotes and percent signs of a path are no syntax in the unit."""
    unit = "ExecStart=/usr/bin/rensei-daemon run\n"
    assert running(Path(program), unit) == f"ExecStart={word} run\n"


@pytest.mark.parametrize("hidden", ["/root", "/home", "/run/user"])
def test_a_program_the_sandbox_hides_is_out_of_reach(hidden: str) -> None:
    """A program in somebody's home is told by the directory the service cannot enter."""
    program = Path(hidden, "someone/bin/rensei-daemon")
    assert out_of_reach(program) == Path(hidden)


@pytest.mark.parametrize("place", ["package/_packaging", "packaging"])
def test_packaged_files_are_found(tmp_path: Path, place: str) -> None:
    """A wheel has them in the package, a checkout beside its sources."""
    package = tmp_path / "src/package" if place == "packaging" else tmp_path / "package"
    package.mkdir(parents=True)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "a.conf").write_text("a\n")
    assert package_file("a.conf", package=package) == "a\n"


def test_a_missing_packaged_file_is_named(tmp_path: Path) -> None:
    """An installation that lacks a file says which, and how to fix it."""
    with pytest.raises(RenseiError, match=r"a\.conf is missing"):
        package_file("a.conf", package=tmp_path / "src/package")


def packaged_system(root: Path) -> Path:
    """Lay out a system on which a package has brought the service; return its unit."""
    unit = root / "usr/lib/systemd/system/rensei-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/usr/bin/rensei-daemon run\n")
    return unit


def test_a_package_is_not_hidden(tmp_path: Path) -> None:
    """Another program than the package's is refused, with what to do."""
    unit = packaged_system(tmp_path)
    with pytest.raises(RenseiError, match=f"{unit} is a package's") as refused:
        invoke(install.command, f"--root={tmp_path}", "--dry-run")
    assert "apt-get remove rensei-daemon" in refused.value.hint


def test_the_packages_own_program_leaves_its_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier install put in /etc goes, for it would hide what the package has."""
    unit = packaged_system(tmp_path)
    monkeypatch.setattr(install, "this_program", lambda: PACKAGED_PROGRAM)
    ours = tmp_path / "etc/systemd/system/rensei-daemon.service"
    ours.parent.mkdir(parents=True)
    ours.write_text("[Service]\n")
    said = invoke(install.command, f"--root={tmp_path}", "--dry-run", "--json").stdout
    assert json.loads(said)["steps"] == [
        f"would keep {unit}, which is a package's",
        f"would find no {tmp_path}/etc/sysusers.d/rensei-daemon.conf",
        f"would run systemd-sysusers --root={tmp_path} rensei-daemon.conf",
        f"would find no {tmp_path}/etc/tmpfiles.d/rensei-daemon.conf",
        f"would run systemd-tmpfiles --create --root={tmp_path} rensei-daemon.conf",
        f"would make {tmp_path}/etc/credstore",
        f"would write {tmp_path}/etc/rensei-daemon/config.toml",
        f"would remove {ours}",
    ]


@needs_root
@pytest.mark.parametrize(("words", "verb"), [((), "remove"), (("--purge",), "purge")])
def test_a_package_is_uninstalled_by_its_own_tool(
    tmp_path: Path, words: tuple[str, ...], verb: str
) -> None:
    """Nothing of the package's is removed behind its back."""
    packaged_system(tmp_path)
    with pytest.raises(RenseiError) as refused:
        invoke(uninstall.command, f"--root={tmp_path}", *words)
    assert refused.value.hint == f"apt-get {verb} rensei-daemon"


@needs_root
def test_an_old_unit_of_ours_gives_way_to_a_package(tmp_path: Path) -> None:
    """The unit in /etc goes; the completions, which are now the package's, stay."""
    packaged_system(tmp_path)
    ours = tmp_path / "etc/systemd/system/rensei-daemon.service"
    ours.parent.mkdir(parents=True)
    ours.write_text("[Service]\n")
    bash = script_places(system_paths(tmp_path).share)["bash"]
    bash.parent.mkdir(parents=True)
    bash.write_text("")
    invoke(uninstall.command, f"--root={tmp_path}")
    assert not ours.exists()
    assert bash.exists()


def test_completions_are_not_worth_a_failure(home: Path) -> None:
    """Where they cannot be put, install says so and goes on."""
    (home / ".local").write_text("a file where a directory should be")
    said = invoke(install.command, "--user").stdout
    assert said.count("went on without ") == 3
    assert (home / ".config/systemd/user/rensei-daemon.service").exists()
    assert "\nnext:\n" in said


def test_the_key_is_put_in_its_place(home: Path, tmp_path: Path) -> None:
    """From a file, readable for its owner alone, and named by no line of the output."""
    key = "rsk_live_canary"
    (tmp_path / "key").write_text(f"  {key}\n\n")
    said = invoke(install.command, "--user", "--key-file", str(tmp_path / "key")).stdout
    placed = home / ".config/rensei-daemon/api-key"
    assert placed.read_text() == f"{key}\n"
    assert placed.stat().st_mode & 0o777 == 0o600
    assert f"wrote {placed}\n" in said
    assert key not in said
    assert "--key-file -" not in said, "there is one now"
    placed.chmod(0o644)
    invoke(install.command, "--user", "--key-file", str(tmp_path / "key"))
    assert placed.stat().st_mode & 0o777 == 0o600


def test_the_key_comes_from_standard_input(home: Path) -> None:
    """A dash reads it, so that it is in no file and no list of processes."""
    words = ["install", "--user", "--key-file", "-"]
    done = CliRunner().invoke(root_command, words, input="rsk_live_canary\n")
    assert done.exit_code == 0
    placed = home / ".config/rensei-daemon/api-key"
    assert placed.read_text() == "rsk_live_canary\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the API key is empty"),
        ("secret-of-something-else", "this is no API key of the platform"),
        ("rsk_live_" + "x" * 5000, "this is too long for an API key"),
    ],
)
def test_what_is_no_key_changes_nothing(
    home: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    """It is looked at before the first step, and never quoted."""
    (tmp_path / "key").write_text(text)
    with pytest.raises(RenseiError, match=complaint) as refused:
        invoke(install.command, "--user", "--key-file", str(tmp_path / "key"))
    assert not text or text not in f"{refused.value} {refused.value.hint}"
    assert not (home / ".config").exists()


def test_a_key_file_that_cannot_be_read_is_named(home: Path) -> None:
    """With the reason."""
    with pytest.raises(RenseiError, match=r"/nowhere: .*No such file"):
        invoke(install.command, "--user", "--key-file", "/nowhere")


def test_a_program_out_of_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail for ever (203/EXEC): the error names the place and what to type."""
    program = Path("/root/.local/bin/rensei-daemon")
    with pytest.raises(RenseiError, match=f"{program} cannot run .* /root") as refused:
        require_reach(program)
    assert refused.value.hint == (
        "put it where it can: python3 -m venv /opt/rensei-daemon && "
        f"/opt/rensei-daemon/bin/pip install {EXAMPLE.parent} && "
        "/opt/rensei-daemon/bin/rensei-daemon install"
    )
    monkeypatch.setattr(install, "this_program", lambda: program)
    with pytest.raises(RenseiError, match="cannot run as a service"):
        invoke(install.command, "--dry-run")


def test_a_program_that_only_root_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment made under umask 077: no other place fixes that, but its mode."""
    monkeypatch.setattr(program_module, "out_of_reach", lambda _: tmp_path / "bin")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(RenseiError, match=f"may not enter {tmp_path}/bin") as refused:
        require_reach(tmp_path / "bin/rensei-daemon")
    assert refused.value.hint == f"let every user read it: chmod -R a+rX {tmp_path}"


def test_a_directory_that_others_may_not_enter_hides_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its name is."""
    monkeypatch.setattr(program_module, "_HIDDEN", ())
    place = tmp_path / "shut"
    place.mkdir(mode=0o700)
    (place / "rensei-daemon").touch()
    shut = [p for p in (*reversed(place.parents), place) if not p.stat().st_mode & 0o001]
    assert out_of_reach(place / "rensei-daemon") == shut[0]


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (None, f"./rensei_daemon-{__version__}-py3-none-any.whl"),
        ('{"url": "file:///srv/a%20b/x.whl"}', "/srv/a b/x.whl"),
        (
            '{"url": "https://example.org/x"}',
            f"./rensei_daemon-{__version__}-py3-none-any.whl",
        ),
    ],
)
def test_it_is_installed_from_where_it_came(
    tmp_path: Path, record: str | None, found: str
) -> None:
    """As pip has recorded it, or a wheel by its name; a checkout is its own source."""
    package = tmp_path / "lib/rensei_daemon"
    info = tmp_path / "lib/rensei_daemon-1.dist-info"
    info.mkdir(parents=True)
    if record is not None:
        (info / "direct_url.json").write_text(record)
    assert source(package) == found
    assert source() == str(EXAMPLE.parent)


def test_a_link_never_replaces_a_program(tmp_path: Path) -> None:
    """One that leads nowhere is fixed; what somebody else has put there is left."""
    program, link = tmp_path / "program", tmp_path / "link"
    program.touch()
    step = LinkProgram(link, program)
    link.symlink_to(tmp_path / "gone")
    assert step.plan() == f"link {link}"
    assert step.carry_out() == f"linked {link} to {program}"
    assert step.carry_out() == f"kept {link}"
    link.unlink()
    link.write_text("another")
    assert step.plan() == f"leave {link}"
    assert step.carry_out() == f"left {link}, which is another program"
    assert link.read_text() == "another"


def test_a_program_on_the_path_needs_no_link() -> None:
    """As pipx and packages have it; one in an environment of its own does."""
    assert is_on_path(Path("/usr/local/bin/rensei-daemon"))
    assert not is_on_path(Path("/opt/rensei-daemon/bin/rensei-daemon"))


def test_purging_removes_what_is_the_operators_too(home: Path) -> None:
    """Config, key and record go; a record elsewhere, and the program, are told."""
    invoke(install.command, "--user")
    settings = home / ".config/rensei-daemon"
    with (settings / "config.toml").open("a") as text:
        text.write('\n[paths]\nstate = "/srv/record"\n')
    (home / ".local/state/rensei-daemon").mkdir(parents=True)
    said = invoke(uninstall.command, "--user", "--purge", "--json").stdout
    assert files(home) == set()
    assert json.loads(said)["left"] == ["rm -r /srv/record", f"rm -r {sys.prefix}"]


def test_a_link_is_not_followed_by_a_purge(tmp_path: Path) -> None:
    """Of a config directory that is kept elsewhere only the link goes."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    assert RemoveTree(tmp_path / "link").carry_out() == f"removed {tmp_path}/link"
    assert (tmp_path / "kept").is_dir()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("pipx_metadata.json", "pipx uninstall --global rensei-daemon"),
        ("uv-receipt.toml", "UV_TOOL_DIR={tools} uv tool uninstall rensei-daemon"),
        ("else", "rm -r {prefix} {prefix}/link"),
    ],
)
def test_the_program_goes_as_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, command: str
) -> None:
    """An installer's environment is removed by that installer."""
    (tmp_path / file).touch()
    (tmp_path / "link").symlink_to("program")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    program = tmp_path / "bin/rensei-daemon"
    assert removal(program, tmp_path / "link") == command.format(
        prefix=tmp_path, tools=tmp_path.parent
    )
    assert removal(PACKAGED_PROGRAM, None) == "apt-get remove rensei-daemon"


def test_the_systems_own_python_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is in no environment of its own goes alone, and its link with it."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    alone = f"{sys.executable} -m pip uninstall rensei-daemon"
    program = Path("/usr/local/bin/rensei-daemon")
    assert removal(program, None) == alone
    (tmp_path / "link").symlink_to("program")
    assert removal(program, tmp_path / "link") == f"{alone} && rm {tmp_path}/link"


@needs_root
@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_other_programs_can_use_the_directories(tmp_path: Path, umask: int) -> None:
    """The umask of root neither shuts a new directory of the system nor opens it."""
    before = os.umask(umask)
    try:
        invoke(install.command, f"--root={tmp_path}")
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    made = {path.stat().st_mode & 0o777 for path in (tmp_path / "usr").rglob("*/")}
    assert made == {0o755}
    assert (tmp_path / "etc/credstore").stat().st_mode & 0o777 == 0o700


def test_a_users_own_umask_counts_in_their_home(home: Path) -> None:
    """What is made in a home is as private as its user has it."""
    before = os.umask(0o077)
    try:
        invoke(install.command, "--user")
    finally:
        os.umask(before)
    assert (home / ".config").stat().st_mode & 0o777 == 0o700


@needs_root
def test_commands_to_copy_are_quoted(tmp_path: Path) -> None:
    """A space in a path makes no second path of it, least of all for `rm -r`."""
    image = tmp_path / "an image"
    image.mkdir()
    following = invoke(install.command, f"--root={image}").stdout
    assert f"  ${{EDITOR:-vi}} '{image}/etc/rensei-daemon/config.toml'\n" in following
    assert f" install --root '{image}' --key-file - " in following
    assert f"  systemctl '--root={image}' enable rensei-daemon\n" in following
    left = invoke(uninstall.command, f"--root={image}").stdout
    assert f"  rm -r '{image}/etc/rensei-daemon' '{image}/var/lib/rensei-daemon'" in left
    assert f"  userdel --prefix '{image}' rensei-daemon\n" in left


@needs_root
def test_a_service_of_an_image_is_disabled_with_it(tmp_path: Path) -> None:
    """The link that enables it leads nowhere from outside, and goes with the unit."""
    invoke(install.command, f"--root={tmp_path}")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    link = wants / "rensei-daemon.service"
    link.symlink_to("/etc/systemd/system/rensei-daemon.service")
    again = invoke(install.command, f"--root={tmp_path}").stdout
    assert "asks for the API key" in again
    assert " enable rensei-daemon" not in again
    said = invoke(uninstall.command, f"--root={tmp_path}").stdout
    assert f"removed {link}\n" in said
    assert list(wants.iterdir()) == []


def test_an_images_record_is_not_looked_for_on_this_host(tmp_path: Path) -> None:
    """A state directory that the config names is below the root; drop-ins are left too."""
    (tmp_path / "etc/rensei-daemon").mkdir(parents=True)
    config = tmp_path / "etc/rensei-daemon/config.toml"
    config.write_text('[paths]\nstate = "/srv/record"\n')
    drop_ins = tmp_path / "etc/systemd/system/rensei-daemon.service.d"
    drop_ins.mkdir(parents=True)
    said = uninstall.final_commands(system_paths(tmp_path), purge=True)
    assert said[0] == f"rm -r {tmp_path}/srv/record {drop_ins}"
    config.write_text('[paths]\nstate = "record"\n')
    said = uninstall.final_commands(system_paths(tmp_path), purge=True)
    assert said[0] == f"rm -r {tmp_path}/etc/rensei-daemon/record {drop_ins}"


@pytest.mark.parametrize(
    ("root", "message"),
    [("", "cannot be empty"), (".", "working directory has been removed")],
)
def test_a_root_that_is_no_place_is_refused(
    root: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty path is not the working directory, and one that was removed has no image."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match=message):
        root_main(["install", f"--root={root}", "--dry-run"])
