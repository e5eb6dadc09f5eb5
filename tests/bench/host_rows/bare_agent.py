"""The floor of a rotation: the least that could stand between the platform and readers.

Blocking sockets with TLS and one `select`: each event is passed on as a line to the
session's clients on a unix socket, then all values of the session that it has heard of are
written to its file, which is flushed and renamed, and the directory flushed.
It checks nothing and survives nothing. Standard library only.

    bare_agent.py URL CA_FILE KEY RUNTIME SESSION …
"""

import json
import os
import select
import socket
import ssl
import sys
from pathlib import Path


class Agent:
    """Streams on one side, clients on the other."""

    def __init__(self, url: str, ca_file: str, key: str, runtime: Path) -> None:
        self._host, port = url.removeprefix("https://").split(":")
        self._port, self._key, self._runtime = int(port), key, runtime
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._poll = select.epoll()
        self._streams: dict[int, tuple[str, ssl.SSLSocket]] = {}
        self._clients: dict[str, list[socket.socket]] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._directory = os.open(runtime, os.O_RDONLY | os.O_DIRECTORY)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(runtime / "credentials.sock"))
        self._listener.listen(1024)
        self._poll.register(self._listener, select.EPOLLIN)

    def open(self, session: str) -> None:
        """Open the stream of a session."""
        plain = socket.create_connection((self._host, self._port))
        stream = self._tls.wrap_socket(plain, server_hostname=self._host)
        path = f"/api/daemon/credentials/rotate-stream?sessionId={session}"
        stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._key}\r\n\r\n".encode()
        )
        stream.recv(65536)
        stream.setblocking(False)
        self._streams[stream.fileno()] = (session, stream)
        self._clients[session], self._values[session] = [], {}
        self._poll.register(stream, select.EPOLLIN)

    def live(self) -> None:
        """Pass on events, for ever."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._pass_on(*self._streams[descriptor])

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        hello = json.loads(client.recv(65536))
        client.sendall(b'{"type":"INITIAL","env":{}}\n')
        self._clients[hello["sessionId"]].append(client)

    def _pass_on(self, session: str, stream: ssl.SSLSocket) -> None:
        try:
            data = stream.recv(65536)
        except ssl.SSLWantReadError:
            return
        _, found, rest = data.partition(b"data: ")
        if not found:  # a keepalive
            return
        update = json.loads(rest.partition(b"\n")[0])
        line = json.dumps(update).encode() + b"\n"
        for client in self._clients[session]:
            client.sendall(line)
        values = self._values[session]
        values |= update["delta"]
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        file = self._runtime / f"{session}.env"
        temporary = file.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o440)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
        os.close(descriptor)
        temporary.rename(file)
        os.fsync(self._directory)


def main() -> None:
    """Open every stream, say so, and live."""
    url, ca_file, key, runtime, *sessions = sys.argv[1:]
    agent = Agent(url, ca_file, key, Path(runtime))
    for session in sessions:
        agent.open(session)
    print('"ready"', flush=True)
    agent.live()


if __name__ == "__main__":
    main()
