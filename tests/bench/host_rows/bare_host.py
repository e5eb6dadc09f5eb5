"""The floor of a host at rest and of its heartbeats: http.client, ssl, and nothing else.

    bare_host.py URL CA_FILE KEY NAME

A line `["live", SECONDS]` has it open a stream and beat every so many seconds, for ever; a
line `["latency", HOST_ID, COUNT]` has it enqueue and beat so often, and answers with the
seconds until each was delivered, and acknowledged.
"""

import http.client
import json
import ssl
import sys
import threading
import time
from typing import Any


class Host:
    """A registered worker that applies nothing."""

    def __init__(self, url: str, ca_file: str, key: str, name: str) -> None:
        self._address = url.removeprefix("https://")
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._key = key
        self._http = self._connection()
        body = {"hostname": name, "machineId": f"mid_{name}", "capacity": 1}
        worker = self.ask("POST", "/api/workers/register", key, body)
        self._path = f"/api/workers/{worker['workerId']}/heartbeat"
        self._token = worker["runtimeToken"]

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, context=self._tls)

    def ask(self, method: str, path: str, token: str, body: object) -> Any:
        """Send a request, and return its answer's JSON."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http.request(method, path, json.dumps(body), headers)
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise ConnectionError(f"{method} {path}: {answer.status} {text!r}")
        return json.loads(text)

    def beat(self, applied: list[str]) -> list[str]:
        """Send a heartbeat; return the ids of the mutations that it brings."""
        body = {"status": "idle", "activeCount": 0, "appliedMutations": applied}
        answer = self.ask("POST", self._path, self._token, body)
        return [one["id"] for one in answer.get("pendingMutations") or ()]

    def latency(self, host_id: str, count: int) -> list[tuple[float, float]]:
        """Return the seconds from each enqueue to its delivery, and to its outcome."""
        taken = []
        for number in range(count):
            params = {"id": f"p{number}", "repository": "https://git.example/acme/a"}
            mutation = {"workerHostId": host_id, "op": "project.add", "params": params}
            start = time.perf_counter()
            self.ask("POST", "/api/daemon/mutations", self._key, mutation)
            applied = self.beat([])
            delivered = time.perf_counter() - start
            self.beat(applied)
            taken.append((delivered, time.perf_counter() - start))
        return taken

    def live(self, seconds: float) -> None:
        """Read a stream, and beat; never returns."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            self.beat([])
            self._http.close()  # a server does not keep it for so long
            time.sleep(seconds)

    def _read(self) -> None:
        stream = self._connection()
        path = "/api/daemon/credentials/rotate-stream?sessionId=bare"
        stream.request("GET", path, headers={"Authorization": f"Bearer {self._key}"})
        answer = stream.getresponse()
        while answer.readline():
            pass


def main() -> None:
    """Do what the lines say."""
    host = Host(*sys.argv[1:])
    print('"ready"', flush=True)
    for line in sys.stdin:
        what, *how = json.loads(line)
        print(json.dumps(getattr(host, what)(*how)), flush=True)


if __name__ == "__main__":
    main()
