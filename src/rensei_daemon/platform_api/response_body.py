"""Reads the whole body of a response, unpacked and limited in size."""

import zlib
from collections.abc import AsyncIterator

import anyio.lowlevel
import httpx

from rensei_daemon.errors import Failure, TransientError
from rensei_daemon.platform_api.gzip_decoder import decoder_for
from rensei_daemon.platform_api.responses import oversized

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Bytes, both compressed and unpacked."""
CHUNKS_A_TURN = 16
"""Read before other tasks run; a small one takes a tenth of a millisecond."""
MAX_CRUMBS = 10_000
MIN_MEAN_CHUNK = 16
"""Bytes. A slow network may deliver single bytes, but a body of many chunks that are
smaller than this on average is refused as an attack."""

_TOO_MUCH = "more than 16 MiB"


async def read_body(response: httpx.Response, host: str) -> bytes:
    """Read and unpack a body; raises `TransientError` if it exceeds a limit."""
    try:
        decoder = decoder_for(response.headers)
    except ValueError:
        raise TransientError(
            f"{host} answered with an encoding that was not requested"
        ) from None
    content = bytearray()
    async for chunk in _chunks(response, host):
        try:
            for piece in decoder.feed(chunk) if decoder else (chunk,):
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    raise oversized(host, _TOO_MUCH)
        except zlib.error:
            raise TransientError(f"{host} answered with broken gzip") from None
    if decoder is not None and content and not decoder.is_complete:
        raise TransientError(
            f"{host} broke off in the middle of its answer", failure=Failure.BROKEN
        )
    return bytes(content)


async def _chunks(response: httpx.Response, host: str) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; let other tasks run every few chunks."""
    count = received = 0
    async for chunk in response.aiter_raw():
        count, received = count + 1, received + len(chunk)
        if received > MAX_ANSWER_BYTES:
            raise oversized(host, _TOO_MUCH)
        if count % CHUNKS_A_TURN == 0:
            # Chunks that have arrived already are returned without a pause.
            await anyio.lowlevel.checkpoint()
            if count > MAX_CRUMBS and received < count * MIN_MEAN_CHUNK:
                raise TransientError(f"{host} sends its answer in many tiny pieces")
        yield chunk
