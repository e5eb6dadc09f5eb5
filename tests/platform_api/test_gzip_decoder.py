"""Unpacking gzip in small pieces."""

import gzip
import zlib

import pytest

from rensei_daemon.platform_api.gzip_decoder import PIECE_BYTES, GzipDecoder, decoder_for


def test_no_piece_is_large() -> None:
    """The reader may stop after any piece of a chunk."""
    pieces = list(GzipDecoder().feed(gzip.compress(b"x" * 1_000_000)))
    assert max(map(len, pieces)) == PIECE_BYTES
    assert b"".join(pieces) == b"x" * 1_000_000


def test_a_full_piece_leaves_nothing_behind() -> None:
    """The last byte is returned too, although the input was used up before."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"x" * (PIECE_BYTES + 1)) + packer.flush(zlib.Z_PARTIAL_FLUSH)
    assert sum(map(len, GzipDecoder().feed(packed[:-1]))) == PIECE_BYTES + 1


@pytest.mark.parametrize("size", [1, 7, 100])
def test_members_are_one_body_however_they_are_cut(size: int) -> None:
    """Members with padding are one body, complete at the end of each."""
    packed = gzip.compress(b"one ") + b"\0\0" + gzip.compress(b"two") + b"\0"
    decoder = GzipDecoder()
    chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(piece for c in chunks for piece in decoder.feed(c)) == b"one two"
    assert decoder.is_complete
    assert list(decoder.feed(b"")) == []


@pytest.mark.parametrize(
    ("header", "is_packed"),
    [
        (None, False), ("", False), ("identity", False), ("gzip", True), ("X-GZip", True),
        ("gzip, gzip", True), ("identity , gzip", True),
    ],
)  # fmt: skip
def test_what_is_packed_is_unpacked(header: str | None, is_packed: bool) -> None:
    """All names of gzip are known, also in a doubled header."""
    headers = {} if header is None else {"content-encoding": header}
    assert (decoder_for(headers) is not None) is is_packed


@pytest.mark.parametrize("header", ["br", "gzip, br", "gzip, x-gzip", "deflate"])
def test_other_encodings_are_refused(header: str) -> None:
    """They were not requested."""
    with pytest.raises(ValueError, match="unknown encoding"):
        decoder_for({"content-encoding": header})
