"""The process that forks programs of ours; see `forked.py`, which starts it.

Reads an `Order` for each program, with its three streams, from the socket whose number is
its argument, and writes the number of the process. It ends when the other end is closed.
"""

import array
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback
from functools import cache
from typing import NoReturn, TypedDict

MOST_BYTES = 128 * 1024
DESCRIPTORS = 3


_LATE = (
    "anyio._backends._asyncio",
    "anyio._core._signals",
    "certifi",
    "concurrent.futures.thread",
    "encodings.idna",
    "encodings.utf_8_sig",
    "httpcore",
)
LATE = {
    "rensei_daemon": _LATE,
    "rensei_platform": (
        *_LATE,
        "aiosqlite",
        "alembic.command",
        "alembic.config",
        "uvicorn.lifespan.off",
        "uvloop",
    ),
}
"""What a program imports only when it is needed."""


class Order(TypedDict):
    """What to run, and where."""

    program: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int


def _serve(ours: socket.socket) -> None:
    """Fork for each order; an order's answer is the number of the process."""
    size = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
    while True:
        message, rights, _, _ = ours.recvmsg(MOST_BYTES, size)
        if not message:
            return
        streams = array.array("i", rights[0][2]).tolist()
        order: Order = json.loads(message)
        _import_all_of(order["program"])
        ours.send(str(_adopted(order, streams)).encode())
        for stream in streams:
            os.close(stream)


@cache
def _import_all_of(program: str) -> None:
    """Import what any command of it may need; it is no garbage, in the forks either."""
    gc.disable()
    package = importlib.import_module(program)
    for module in pkgutil.walk_packages(package.__path__, f"{program}."):
        if not module.name.endswith(("__main__", ".env")):
            importlib.import_module(module.name)
    for name in LATE[program]:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def _adopted(order: Order, streams: list[int]) -> int:
    """Fork twice, so that the process is an orphan; return its number once it is."""
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            _become(order, streams)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(between, 0)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        return int(pipe.read())


def _become(order: Order, streams: list[int]) -> NoReturn:
    """Be the program, on these streams, until it ends."""
    code = 1
    try:
        for own, stream in enumerate(streams):
            os.dup2(stream, own)
        os.closerange(DESCRIPTORS, 256)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(order["cwd"])
        os.umask(order["umask"])
        os.environ.clear()
        os.environ.update(order["env"])
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - to its end
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        code = _called(order["program"], order["argv"])
        sys.stdout.flush()
    finally:
        os._exit(code)


def _called(program: str, argv: list[str]) -> int:
    """Call its start, and return its exit code; it writes on stderr what is wrong."""
    sys.argv = [program.replace("_", "-"), *argv]
    try:
        importlib.import_module(f"{program}.__main__").main()
    except SystemExit as left:
        if isinstance(left.code, str):
            sys.stderr.write(f"{left.code}\n")
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # sooner than by taking apart all that it has imported
