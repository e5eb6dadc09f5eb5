"""A daemon whose platform is behind a gateway that asks for client certificates."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from needs import need
from polling import until
from rig.certificates import Authority, install, make_authority

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.conftest import Lab


class Gateway:
    """Ends TLS in a thread for each connection, and passes on what is inside."""

    def __init__(self, authority: Authority, leads_to: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.pair("gateway"))
        self._context.load_verify_locations(authority.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._leads_to = ("127.0.0.1", leads_to)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def serve(self) -> None:
        """Take connections until closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(self._leads_to) as platform,
        ):
            back = threading.Thread(target=_pump, args=(platform, inside), daemon=True)
            back.start()
            _pump(inside, platform)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


@contextmanager
def gateway(authority: Authority, leads_to: int) -> Iterator[Gateway]:
    """Run a gateway."""
    running = Gateway(authority, leads_to)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join()


@pytest.fixture
def authority(tmp_path: "Path") -> Authority:
    """An authority that the gateway and the daemon trust."""
    need("openssl")
    made = make_authority(tmp_path)
    for name, days in (("gateway", 2), ("host", 2), ("next", 2), ("old", -1)):
        made.sign(name, days=days)
    return made


async def test_a_refused_certificate_is_a_condition_until_there_is_another(
    lab: "Lab", authority: Authority
) -> None:
    """It says what the platform said; a new pair is taken up by itself, or by a reload."""
    files = (lab.place / "client.pem", lab.place / "client.key")
    install(authority.pair("old"), files)
    port = int(lab.platform.url.rpartition(":")[2])
    with gateway(authority, port) as entrance:
        text = lab.config.read_text().replace(
            f'url = "{lab.platform.url}"',
            f'url = "https://127.0.0.1:{entrance.port}"\n'
            f'ca_file = "{authority.ca}"\n'
            'client_cert_file = "client.pem"\nclient_key_file = "client.key"',
        )
        lab.config.write_text(text)
        async with lab.daemon() as daemon:
            await daemon.told(b"does not accept this host's client certificate")
            shown = await lab.call("status")
            assert shown.returncode == 2
            assert "ERROR  tls.refused" in shown.stdout
            assert "(certificate expired)" in shown.stdout
            files[1].write_text("")
            assert (await lab.call("reload")).returncode == 78
            assert '"event": "certificate.not_read"' in lab.output.read_text()
            install(authority.pair("host"), files)
            await lab.becomes(lab.runtime / "build.env", 'TOKEN="canary-one-7f3a"\n')
            # The platform has a beat before this host has its answer.
            await until(lambda: '"heartbeat.recovered"' in lab.output.read_text())
            assert "tls.refused" not in (await lab.call("status")).stdout
            install(authority.pair("next"), files)
            assert "the client certificate" in (await lab.call("reload")).stdout
            assert await daemon.stop() == 0
