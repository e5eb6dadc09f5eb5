"""The archive for support, and the search of it for secrets."""

import base64
import json
import stat
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import anyio.to_thread
import pytest
from privileges import hidden_files

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.doctor.bundle import gather_texts, write_bundle
from rensei_daemon.doctor.secrets import Secrets, gather_secrets
from rensei_daemon.errors import RenseiError

if TYPE_CHECKING:
    from doctor.conftest import Patient

KEY = "rsk_live_canary_key_0123456789"
TOKEN = "eyJcanary.token.0123456789"
VALUE = 'canary: a "value" of $9,\nin two lines'


@pytest.fixture
def full(patient: "Patient") -> "Patient":
    """A host with a key, a runtime token and an env file."""
    patient.locations.token.write_text(json.dumps({"token": TOKEN}))
    text = render_env_file({"PASSWORD": VALUE})
    patient.locations.runtime.joinpath("old.env").write_text(text)
    patient.leave({"state": "ok"})
    patient.locations.log.write_text(
        '{"event": "daemon.started", "level": "info"}\nplain\n'
    )
    return patient


def members(path: Path) -> dict[str, str]:
    """Unpack an archive."""
    with tarfile.open(path) as archive:
        opened = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        return {name: file.read().decode() for name, file in opened.items() if file}


def test_a_bundle_holds_what_support_asks_for(full: "Patient", tmp_path: Path) -> None:
    """And is its owner's alone."""
    case = full.case()
    texts = gather_texts(case, {"verdict": "pass"})
    path = tmp_path / "help.tar.gz"
    write_bundle(path, texts, gather_secrets(case))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = members(path)
    assert set(found) == {
        f"help/{name}"
        for name in ("doctor.json", "host.json", "files.txt", "log.jsonl", "status.json")
    } | {"help/config.toml"}
    assert found["help/log.jsonl"].endswith("plain\n")
    assert "httpx" in json.loads(found["help/host.json"])["libraries"]
    assert "-rw------- " in found["help/files.txt"]
    assert "canary" not in "".join(found.values())


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        (KEY, "the API key of "),
        (TOKEN, "the runtime token"),
        (VALUE, "PASSWORD of "),
    ],
)
@pytest.mark.parametrize(
    "spell",
    [
        str,
        json.dumps,
        quote,
        lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: text.splitlines()[0],
    ],
    ids=["plain", "json", "url", "base64", "hex", "line"],
)
def test_a_secret_in_any_form_forbids_the_bundle(
    full: "Patient", tmp_path: Path, secret: str, name: str, spell: "type[str]"
) -> None:
    """It names the file and the secret, never the value, and writes nothing."""
    with full.locations.log.open("a") as log:
        log.write(f"a library said {spell(secret)}\n")
    case = full.case()
    with pytest.raises(RenseiError) as caught:
        write_bundle(tmp_path / "b.tar.gz", gather_texts(case, {}), gather_secrets(case))
    assert f"log.jsonl holds {name}" in str(caught.value)
    assert "canary" not in str(caught.value) + caught.value.hint
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("an older one: rsk_live_0123456789", "a key of the platform"),
        ("HTTPS_PROXY=http://ada:secret@proxy.example:3128", "a URL with a password"),
    ],
)
def test_what_is_a_secret_by_its_look_forbids_the_bundle(
    full: "Patient", tmp_path: Path, text: str, name: str
) -> None:
    """It is not used here, but it may be valid elsewhere."""
    with full.locations.log.open("a") as log:
        log.write(f"{text}\n")
    case = full.case()
    with pytest.raises(RenseiError, match=f"log.jsonl holds {name}"):
        write_bundle(tmp_path / "b.tar.gz", gather_texts(case, {}), gather_secrets(case))


def test_a_daemon_that_says_nothing_forbids_the_search(full: "Patient") -> None:
    """It holds values that may be in no file, and perhaps in the log."""
    case = replace(full.case(), is_running=True)
    with pytest.raises(RenseiError, match="does not say which secrets it holds"):
        gather_secrets(case)


def test_a_key_that_is_not_in_use_is_looked_for(full: "Patient", tmp_path: Path) -> None:
    """The environment's goes first; the file's is a key all the same."""
    secrets = gather_secrets(full.case(RENSEI_API_KEY="rsk_live_another_0123"))
    assert secrets.found_in(f"so: {KEY}") == [f"the API key of {full.key}"]


def test_a_key_that_is_unfit_is_looked_for(full: "Patient") -> None:
    """It may be a valid key all the same."""
    full.write_key("sk_test_canary_0123", mode=0o644)
    secrets = gather_secrets(full.case())
    assert secrets.found_in("so: sk_test_canary_0123") == [f"the API key of {full.key}"]


def test_a_name_of_a_file_is_searched_too(full: "Patient", tmp_path: Path) -> None:
    """The listing shows the names of files."""
    (full.locations.state / f"core.{KEY}").touch()
    case = full.case()
    with pytest.raises(RenseiError, match=r"files\.txt holds the API key"):
        write_bundle(tmp_path / "b.tar.gz", gather_texts(case, {}), gather_secrets(case))


async def test_what_only_the_daemon_holds_is_asked_of_it(patient: "Patient") -> None:
    """A session without an env file has its values in no file at all."""
    door, values = CredentialSocket(), Credentials(1, {"PASSWORD": VALUE})
    subscribers = door.subscribers("b", None)
    await subscribers.deliver(values, difference(Credentials(), values))
    status = {"sessions": [{"id": "b", "generation": 1}]}
    case = replace(patient.case(), status=status, is_running=True)
    async with anyio.create_task_group() as tasks:
        path = patient.locations.credential_socket
        await tasks.start(partial(door.serve, path))
        secrets = await anyio.to_thread.run_sync(gather_secrets, case)
        tasks.cancel_scope.cancel()
    assert secrets.found_in(f"so: {VALUE}") == ["PASSWORD of session b"]


def test_a_sessions_value_in_the_configuration_is_named_by_both_places() -> None:
    """Only a person knows whether it is one; what is none is looked for no more."""
    secrets = Secrets(
        [("the key", KEY)], [("REGION of b", "eu-central-1"), ("K of b", KEY)]
    )
    text = f'[machine]\nregion = "eu-central-1"\n# {KEY}\n'
    assert list(secrets.also_in(text)) == [("REGION of b", 2)]
    assert secrets.found_in(text) == ["the key", "REGION of b"]
    secrets.forget(["REGION of b"])
    assert secrets.found_in(text) == ["the key"]
    assert list(secrets.also_in(text)) == []


def test_a_short_value_is_not_looked_for() -> None:
    """A short value would be found everywhere; a value with two names is one secret."""
    secrets = Secrets([("a", "1234567"), ("b", "12345678"), ("c", "12345678")])
    assert secrets.found_in("12345678") == ["b"]
    assert "1234" not in repr(secrets)


def test_a_secret_that_is_hidden_forbids_the_search(full: "Patient") -> None:
    """What is not known cannot be looked for."""
    full.locations.token.chmod(0)
    with hidden_files(), pytest.raises(PermissionError):
        gather_secrets(full.case())
