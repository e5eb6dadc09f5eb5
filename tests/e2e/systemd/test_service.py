"""The daemon as a service of a real systemd: started, told, confined and stopped by it."""

import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needs import lack
from process_trees import children
from rig.exposition import read

if TYPE_CHECKING:
    from e2e.systemd.conftest import Host

CHECKOUT = Path(__file__).parents[3]

USER_CONFIG = """\
[platform]
url = "http://127.0.0.1:7780"
api_key_file = "api-key"
"""

IMPATIENT = """\
[Service]
WatchdogSec=1s
TimeoutAbortSec=1s
ExecStopPost=+/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE >/run/ended'
"""
"""With a core its process would have been `dumped`."""

WORKER = """\
[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/cp /run/rensei-daemon/build.env /run/reloaded
"""

AWKWARD = {
    "LINES": "one\ntwo\n\nfour\n",
    "QUOTES": "it's \"so\" 'so'",
    "DOLLARS": "$HOME ${HOME} $(id) $1 $$ $",
    "BACKQUOTES": "`id`",
    "BACKSLASHES": "\\ \\\\ \\n \\\n end\\",
    "UNICODE": "héllo 🙂 \u2028 \x85",
    "SPACES": "  tab\there\t ",
    "COMMENT": "# not one ; nor this",
    "SPECIFIERS": "%n %% %h",
    "CARRIAGE": "a\r\nb\r",
    "CONTROL": "".join(chr(code) for code in (*range(1, 32), 127, 0x85, 0x9F)),
    "EMPTY": "",
    "PRIVATE": "\ufeff\ue000",
    "LONG": "x" * 120_000,
}

pytestmark = pytest.mark.slow


def enqueue(host: "Host", project: str) -> None:
    """Have the platform ask for a project on this host."""
    params = {"id": project, "repository": f"https://github.com/acme/{project}"}
    body = {"workerHostId": "wh_h1", "op": "project.add", "params": params}
    host.ask("POST", "/api/daemon/mutations", body)


def example(name: str) -> str:
    """Return an example we ship."""
    return (CHECKOUT / "packaging/systemd/examples" / name).read_text()


def test_start_is_ready_with_a_status(running: "Host") -> None:
    """`systemctl start` returns when it is ready, and the status text says how it is."""
    shown = running.shown("ActiveState", "SubState", "StatusText", "User")
    assert shown.pop("StatusText").startswith("ok")
    assert shown == {
        "ActiveState": "active",
        "SubState": "running",
        "User": "rensei-daemon",
    }


def test_a_mutation_reaches_the_config(running: "Host") -> None:
    """A mutation is written into the file, which keeps its owner, mode and comments."""
    before = running.path(running.config).stat()
    enqueue(running, "proj_new")
    text = running.until(lambda: _text_with(running, running.config, "proj_new"))
    assert "# kept by hand" in text
    after = running.path(running.config).stat()
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        before.st_uid,
        before.st_gid,
        before.st_mode,
    )


def test_a_file_open_for_writing_is_waited_for(running: "Host") -> None:
    """An editor that is still writing loses nothing: the sandbox lets the daemon see it."""
    with running.path(running.config).open("a") as editor:
        enqueue(running, "proj_b")
        running.until(lambda: _is_waiting(running))
        assert "proj_b" not in running.path(running.config).read_text()
        editor.write("# typed meanwhile\n")
    text = running.until(lambda: _text_with(running, running.config, "proj_b"))
    assert "# typed meanwhile" in text


def test_a_rotation_reaches_the_env_file(running: "Host") -> None:
    """The env file has the new value, and belongs to the session's group."""
    running.rotate("second")
    running.until(lambda: _text_with(running, running.env_file, "second"))
    seen = running.run("stat", "--format=%a %U %G", running.env_file, "/run/rensei-daemon")
    assert seen.stdout == "440 rensei-daemon build\n711 rensei-daemon rensei-daemon\n"


def test_a_worker_is_reloaded_by_the_path_unit(running: "Host") -> None:
    """The example pair reloads a worker when its env file changes, unprivileged."""
    for name in ("worker-reload.path", "worker-reload.service"):
        running.write(f"/etc/systemd/system/{name}", example(name))
    running.write("/etc/systemd/system/worker.service", WORKER)
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "start", "worker.service", "worker-reload.path")
    running.rotate("for-the-path-unit")
    running.until(lambda: _text_with(running, "/run/reloaded", "for-the-path-unit"))
    running.run("systemctl", "stop", "worker-reload.path", "worker.service")


def test_a_hook_reloads_one_worker_by_the_polkit_rule(running: "Host") -> None:
    """With the example rule a hook may reload that worker; nothing else is allowed."""
    if running.run("systemctl", "start", "dbus", "polkit", check=False).returncode != 0:
        lack("polkit")
    rule = "50-rensei-daemon.rules"
    running.write(f"/etc/polkit-1/rules.d/{rule}", example(rule))
    running.write("/etc/systemd/system/worker.service", WORKER)
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "start", "worker.service")
    hook = 'on_rotate = ["/usr/bin/systemctl", "reload", "worker.service"]'
    session = 'env_file = "build.env"'
    hooked = running.good_config.replace(session, f"{session}\n{hook}")
    running.write(running.config, hooked)
    running.run(running.program, "reload")
    running.rotate("for-the-hook")
    running.until(lambda: _text_with(running, "/run/reloaded", "for-the-hook"))
    daemon = ("setpriv", "--reuid=rensei-daemon", "--regid=rensei-daemon", "--clear-groups")
    for words in (("stop", "worker.service"), ("restart", "control-plane.service")):
        systemctl = (*daemon, "systemctl", "--no-ask-password", *words)
        assert "authentication required" in running.run(*systemctl, check=False).stderr
    running.run("systemctl", "stop", "worker.service")


def test_an_environment_file_gives_a_unit_every_value(running: "Host") -> None:
    """`EnvironmentFile=` sets exactly what the platform sent, however awkward it is."""
    running.set_credentials("odd", **AWKWARD)
    running.run(running.program, "sync")
    running.until(lambda: _text_with(running, running.env_file, "UNICODE="))
    unit = [f"--property=EnvironmentFile={running.env_file}"]
    unit += ["--property=StandardOutput=file:/run/shown"]
    running.run("systemd-run", "--quiet", "--wait", *unit, "/usr/bin/env", "--null")
    shown = running.path("/run/shown").read_bytes().decode()
    found = dict(line.partition("=")[::2] for line in shown.split("\0"))
    assert {name: found.get(name) for name in AWKWARD} == AWKWARD
    running.ask("DELETE", "/api/admin/credentials/odd/binding", None)


def test_env_files_outlive_a_restart(running: "Host") -> None:
    """After a crash the runtime directory, and with it every env file, is still there."""
    kept = running.path(running.env_file).parent.stat().st_ino
    before = running.shown("MainPID")["MainPID"]
    running.run("systemctl", "kill", "--signal=KILL", running.unit)
    running.until(lambda: _is_another(running, before))
    assert running.path(running.env_file).parent.stat().st_ino == kept


def test_a_daemon_that_hangs_is_started_again(running: "Host") -> None:
    """The watchdog of systemd ends it, without a core; the next one has its values."""
    before = running.shown("MainPID", "NRestarts")
    drop_in = running.path(f"/run/systemd/system/{running.unit}.d/short.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(IMPATIENT)
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", running.unit)
    hanging = running.shown("MainPID")["MainPID"]
    try:
        running.run("kill", "-STOP", hanging)
        running.until(lambda: running.shown("NRestarts")["NRestarts"] == "1")
        running.until(lambda: running.shown("StatusText")["StatusText"].startswith("ok"))
    finally:
        drop_in.unlink()
        running.run("systemctl", "daemon-reload")
    assert running.shown("MainPID")["MainPID"] not in (before["MainPID"], hanging)
    assert running.path("/run/ended").read_text() == "watchdog killed\n"
    assert _text_with(running, running.env_file, "TOKEN=")


def test_reload_succeeds(running: "Host") -> None:
    """`systemctl reload` waits for the new configuration to be in force."""
    running.write(running.config, running.good_config + '[log]\nlevel = "debug"\n')
    running.run("systemctl", "reload", running.unit)
    assert running.shown("ActiveState")["ActiveState"] == "active"


def test_a_reload_says_that_a_new_key_needs_a_restart(running: "Host") -> None:
    """A unit is given its credentials when it starts, so no reload takes up a new one."""
    waiting = f"the API key in {running.key_file}"
    assert waiting not in running.run(running.program, "reload").stdout
    running.write(running.key_file, f"rsk_live_{'n' * 32}\n")
    assert f"needs a restart: {waiting}\n" in running.run(running.program, "reload").stdout
    running.put_key()
    assert waiting not in running.run(running.program, "reload").stdout


def test_a_broken_config_keeps_the_last_good_one(running: "Host") -> None:
    """A reload of a broken file fails with the place, and the daemon goes on as it was."""
    running.write(running.config, "[heartbeat\n")
    assert running.run("systemctl", "reload", running.unit, check=False).returncode != 0
    shown = running.shown("ActiveState", "StatusText")
    assert shown["ActiveState"] == "active"
    running.until(lambda: "config" in running.shown("StatusText")["StatusText"])
    status = running.status()
    assert status["state"] == "degraded"
    assert status["config"]["error"].startswith(f"{running.config}:1:11: ")
    assert [session["id"] for session in status["sessions"]] == ["build"]


def test_the_sandbox_shows_the_load(running: "Host") -> None:
    """What a heartbeat reports of the host can be read inside the sandbox."""
    pid = running.shown("MainPID")["MainPID"]
    files = ("/proc/stat", "/proc/meminfo", "/proc/loadavg")
    said = running.run("nsenter", f"--target={pid}", "--mount", "cat", *files).stdout
    assert "MemAvailable" in said


def test_the_sandbox_lets_metrics_be_served(running: "Host") -> None:
    """The daemon listens where it is told to, and can count its own memory and files."""
    listen = '[metrics]\nlisten = "127.0.0.1:9464"\n'
    running.write(running.config, running.good_config + listen)
    running.run("systemctl", "restart", running.unit)
    ask = "import urllib.request as web; print(web.urlopen(%r).read().decode(), end='')"
    words = ("/opt/rensei-daemon/bin/python", "-c", ask % "http://127.0.0.1:9464/metrics")
    told = read(running.run(*words).stdout)
    running.write(running.config, running.good_config)
    running.run("systemctl", "restart", running.unit)
    assert told["process_open_fds"].value() > 5
    assert told["process_resident_memory_bytes"].value() > 10_000_000
    assert told["process_max_fds"].value() == 16384


def test_stop_is_quick_and_clean(running: "Host") -> None:
    """SIGTERM is enough to end it; its runtime directory goes, its state stays."""
    running.run("systemctl", "stop", running.unit)
    assert running.shown("Result", "ExecMainStatus") == {
        "Result": "success",
        "ExecMainStatus": "0",
    }
    assert not running.path("/run/rensei-daemon").exists()
    seen = running.run("stat", "--format=%a %U", "/var/lib/rensei-daemon").stdout
    assert seen == "700 rensei-daemon\n"


def test_the_journal_has_fields(running: "Host") -> None:
    """Events are entries with fields of their own, and `logs` reads them back."""
    entry = running.journal("RENSEI_EVENT=daemon.started")[-1]
    assert entry["RENSEI_CONFIG"] == running.config
    assert entry["PRIORITY"] == "6"
    assert entry["_SYSTEMD_UNIT"] == running.unit
    assert entry["SYSLOG_IDENTIFIER"] == "rensei-daemon"
    said = running.run(
        running.program, "logs", "-n", "200", "--event", "daemon.started"
    ).stdout
    last = said.splitlines()[-1]
    assert "daemon.started" in last
    assert f"config={running.config}" in last
    assert not running.path("/var/lib/rensei-daemon/log.jsonl").exists()


def logged(host: "Host", *options: str) -> list[dict[str, Any]]:
    """Return the events that `logs` shows from the journal."""
    said = host.run(host.program, "logs", "--json", *options).stdout
    return [json.loads(line) for line in said.splitlines()]


def test_the_journal_is_searched_by_field(running: "Host") -> None:
    """Journalctl does the finding, by each option and all of them, and by message id."""
    enqueue(running, "proj_logs")
    running.until(lambda: logged(running, "--event", "outcomes.acked", "--since", "8s"))
    applied = logged(running, "--event", "mutation.applied")[-1]
    mutation = applied["mutation_id"]
    assert applied["op"] == "project.add"
    assert logged(running, "--mutation", mutation, "--event", "mutation.applied") == [
        applied
    ]
    assert {e["mutation_id"] for e in logged(running, "--mutation", mutation)} == {mutation}
    sessions = logged(running, "--session", "build", "--event", "credentials.changed")
    assert {event["session_id"] for event in sessions} == {"build"}
    assert logged(running, "--session", "build", "--mutation", mutation) == []
    assert logged(running, "--level", "critical") == []
    assert [e["event"] for e in logged(running, "--event", "daemon.st*", "-n", "1")] == [
        "daemon.started"
    ]
    shown = logged(running, "--since", applied["timestamp"], "--event", "mutation.*")
    assert applied in shown
    (entry,) = running.journal(f"RENSEI_MUTATION_ID={mutation}", "RENSEI_OP=project.add")
    found = running.journal(f"MESSAGE_ID={entry['MESSAGE_ID']}")
    assert entry in found
    assert {one["RENSEI_EVENT"] for one in found} == {"mutation.applied"}


def test_the_journal_is_followed(running: "Host") -> None:
    """What comes is shown as it comes, of the events that were asked for."""
    words = [*running.entered, running.program, "logs", "-f", "-n", "0", "--json"]
    with subprocess.Popen(
        [*words, "--event", "log.level_changed"], stdout=subprocess.PIPE, cwd="/"
    ) as following:
        assert following.stdout is not None
        # Its journalctl is there once it has seen the first one.
        reader = threading.Thread(target=following.stdout.readline)
        reader.start()
        while reader.is_alive():
            running.run(running.program, "logs", "--set-level", "debug")
            reader.join(0.5)
        running.run(running.program, "logs", "--set-level", "config")
        for line in following.stdout:
            if json.loads(line)["to"] == "info":
                break
        for follower in children(following.pid):
            os.kill(follower, signal.SIGTERM)


def test_the_journal_is_not_for_strangers(running: "Host") -> None:
    """Who may not read it is told which group may, and may not change the level."""
    stranger = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    refused = running.run(*stranger, running.program, "logs", check=False)
    assert refused.returncode == 77
    assert refused.stderr.splitlines() == [
        "rensei-daemon: the journal of the unit cannot be read: permission denied",
        "  run this as root, or join the group systemd-journal (or adm) and log in again",
    ]
    member = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=systemd-journal")
    assert "daemon.started" in running.run(*member, running.program, "logs").stdout
    words = (*member, running.program, "logs", "--set-level", "debug")
    assert running.run(*words, check=False).returncode == 77


def test_status_is_for_operators(running: "Host") -> None:
    """Root sees a healthy screen; a user without the group is told what is missing."""
    said = running.run(running.program, "status")
    assert "build" in said.stdout
    stranger = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    refused = running.run(*stranger, running.program, "status", check=False)
    assert refused.returncode == 77
    assert "Traceback" not in refused.stderr


def test_the_doctor_finds_a_service_well(running: "Host") -> None:
    """Everything as packaged passes, under systemd's own eyes."""
    said = running.run(running.program, "doctor", "--json", check=False)
    checks = {check["code"]: check for check in json.loads(said.stdout)["checks"]}
    ailing = {c: k for c, k in checks.items() if k["verdict"] != "pass"}
    assert set(ailing) <= {"unit"}, ailing  # it is not enabled on this host
    assert checks["hardening"]["evidence"].startswith("exposure 1.")
    assert checks["key"]["evidence"].endswith("rensei-daemon.service/api-key")
    assert checks["files"]["evidence"].endswith("the daemon is rensei-daemon")
    assert said.returncode == 0


def test_without_a_key_it_ends_with_our_line(host: "Host") -> None:
    """A missing key is exit code 78 and a line that helps, once: it is not restarted."""
    host.run("systemctl", "stop", host.unit)
    host.path(host.key_file).unlink()
    try:
        assert host.run("systemctl", "start", host.unit, check=False).returncode != 0
        shown = host.shown("Result", "ExecMainStatus", "NRestarts", "SubState")
        assert shown == {
            "Result": "exit-code",
            "ExecMainStatus": "78",
            "NRestarts": "0",
            "SubState": "failed",
        }
        process = "_PID=" + host.shown("ExecMainPID")["ExecMainPID"]
        host.until(lambda: len(host.journal(process)) > 1)
        what, remedy = host.journal(process)
        assert what["MESSAGE"] == "rensei-daemon: there is no API key"
        assert host.key_file in remedy["MESSAGE"]
        assert (what["PRIORITY"], remedy["PRIORITY"]) == ("3", "3")
    finally:
        host.put_key()
        host.run("systemctl", "reset-failed", host.unit)


def test_uninstall_leaves_what_is_the_operators(host: "Host") -> None:
    """The service stops and its unit goes; the config stays; install brings it back."""
    host.run("systemctl", "enable", "--now", host.unit)
    host.run(host.program, "uninstall")
    assert host.shown("LoadState", "ActiveState") == {
        "LoadState": "not-found",
        "ActiveState": "inactive",
    }
    assert host.path(host.config).exists()
    host.run(host.program, "install")
    assert host.path(host.config).read_text() == host.good_config
    host.run("systemctl", "start", host.unit)
    host.run("systemctl", "stop", host.unit)


def test_a_user_runs_a_service_of_their_own(host: "Host") -> None:
    """A user's own manager, without any privilege, starts and reloads the user unit."""
    host.run("useradd", "--create-home", "tester")
    host.run("systemctl", "start", "systemd-logind", "systemd-user-sessions", check=False)
    if host.run("loginctl", "enable-linger", "tester", check=False).returncode != 0:
        lack("user manager")
    uid = host.run("id", "--user", "tester").stdout.strip()
    runtime = f"/run/user/{uid}"
    host.until(host.path(f"{runtime}/systemd/private").exists)
    as_tester = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "env"]
    as_tester += ["HOME=/home/tester", f"XDG_RUNTIME_DIR={runtime}"]
    host.run(*as_tester, host.program, "install", "--user")
    settings = "/home/tester/.config/rensei-daemon"
    host.write(f"{settings}/config.toml", USER_CONFIG)
    host.run(*as_tester, "sh", "-c", f"umask 077 && touch {settings}/api-key")
    host.write(f"{settings}/api-key", host.key)
    host.run(*as_tester, "systemctl", "--user", "start", host.unit)
    host.run(*as_tester, "systemctl", "--user", "reload", host.unit)
    socket = host.run("stat", "--format=%a %U", f"{runtime}/rensei-daemon/control.sock")
    assert socket.stdout == "600 tester\n"
    host.run(*as_tester, host.program, "uninstall", "--user")
    assert not host.path(f"{runtime}/rensei-daemon").exists()


def _text_with(host: "Host", name: str, wanted: str) -> str:
    with suppress(FileNotFoundError):
        text = host.path(name).read_text()
        return text if wanted in text else ""
    return ""


def _is_another(host: "Host", pid: str) -> bool:
    shown = host.shown("MainPID", "SubState")
    return shown["SubState"] == "running" and shown["MainPID"] != pid


def _is_waiting(host: "Host") -> bool:
    """Tell whether the daemon waits with an edit; it holds the lock beside the file."""
    lock = host.path(f"{host.config}.lock").stat().st_ino
    return any(line.split()[5].endswith(f":{lock}") for line in _flocks())


def _flocks() -> list[str]:
    lines = Path("/proc/locks").read_text().splitlines()
    return [line for line in lines if " FLOCK " in line and "->" not in line]
