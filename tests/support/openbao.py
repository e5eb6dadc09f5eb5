"""A real OpenBao server on the loopback device, in memory, with TLS of its own."""

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from needs import need

ROOT_TOKEN = "root-token-of-the-tests"
_UNSEAL_KEY = re.compile(r"Unseal Key: (\S{1,100})")
_STARTED = "OpenBao server started!"


class OpenBao:
    """A running server, as its operator sees it."""

    def __init__(self, address: str, ca_file: Path, unseal_key: str) -> None:
        self.address, self.ca_file, self._unseal_key = address, ca_file, unseal_key
        self._client = httpx.Client(
            base_url=f"{address}/v1/",
            verify=ssl.create_default_context(cafile=ca_file),
            trust_env=False,
        )

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        namespace: str = "",
    ) -> dict[str, Any]:
        """Send a request with the root token; return what it answered, {} for nothing."""
        headers = {"X-Vault-Token": ROOT_TOKEN, "X-Vault-Namespace": namespace}
        answer = self._client.request(method, path, json=body, headers=headers)
        assert answer.is_success, (method, path, answer.text)
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def token(self, *policies: str, **more: object) -> str:
        """Return a new token with these policies."""
        made = self.call(
            "POST", "auth/token/create", {"policies": policies, "no_parent": True, **more}
        )
        return str(made["auth"]["client_token"])

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Be sealed inside of the block."""
        self.call("POST", "sys/seal")
        try:
            yield
        finally:
            self.call("POST", "sys/unseal", {"key": self._unseal_key})


@contextmanager
def running_openbao(directory: Path) -> Iterator[OpenBao]:
    """Start a server and stop it; skip the test where there is none."""
    need("openbao")
    port = _free_port()
    command = [
        *("bao", "server", "-log-level=error", "-dev", "-dev-no-store-token", "-dev-tls"),
        f"-dev-tls-cert-dir={directory}",
        f"-dev-root-token-id={ROOT_TOKEN}",
        f"-dev-listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        text=True,
    ) as process:
        try:
            key = _wait(process)
            address, ca_file = f"https://127.0.0.1:{port}", directory / "vault-ca.pem"
            with closing(OpenBao(address, ca_file, key)) as server:
                yield server
        finally:
            process.kill()


def _wait(process: subprocess.Popen[str]) -> str:
    """Return the unseal key, which the server prints once it listens."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        key = _UNSEAL_KEY.match(line)
        if key and _STARTED in printed:
            return key[1]
    raise AssertionError(printed)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
