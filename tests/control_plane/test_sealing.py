"""Encryption of stored values."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from rensei_platform.master_key import (
    MasterKey,
    create_master_key_file,
    replace_master_keys,
)
from rensei_platform.sealing import Sealer, SealingError

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
VALUE = "canary-of-the-sealing-tests"
FOREIGN = "A stored value was changed, or belongs to another row."
UNKNOWN_KEY = "A stored value was sealed with a master key that is not configured."
MALFORMED = "A stored value is not in the format that this version writes."


def _refusal(sealer: Sealer, sealed: str, identity: str = "row") -> str:
    with pytest.raises(SealingError) as refused:
        sealer.unseal(sealed, identity)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert VALUE not in f"{refused.value!r} {refused.value.hint}"
    return str(refused.value)


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="utf-8"))
)
def test_round_trip(value: str, identity: str) -> None:
    """Any text comes back from the row it was sealed for."""
    sealer = Sealer([NEW])
    assert sealer.unseal(sealer.seal(value, identity), identity) == value


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_another_row(here: str, there: str) -> None:
    """A value that was copied to another row is refused."""
    sealer = Sealer([NEW])
    sealed = sealer.seal(VALUE, here)
    if here != there:
        assert _refusal(sealer, sealed, there) == FOREIGN


@given(st.data())
def test_bit_flip(data: st.DataObject) -> None:
    """A value with any bit changed is refused."""
    sealer = Sealer([NEW])
    head, _, payload = sealer.seal(VALUE, "row").rpartition(".")
    octets = bytearray(urlsafe_b64decode(payload))
    bit = data.draw(st.integers(0, len(octets) * 8 - 1))
    octets[bit // 8] ^= 1 << bit % 8
    assert _refusal(sealer, f"{head}.{urlsafe_b64encode(octets).decode()}") == FOREIGN


@given(st.data())
def test_edited_text(data: st.DataObject) -> None:
    """A value with any character of its text changed is refused."""
    sealer = Sealer([OLD, NEW])
    sealed = sealer.seal(VALUE, "row")
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != sealed[at]))
    text = _refusal(sealer, sealed[:at] + other + sealed[at + 1 :])
    assert text in {FOREIGN, UNKNOWN_KEY, MALFORMED}


@pytest.mark.parametrize(
    "sealed", ["", ".", "1..", "2.x.AAAA", VALUE, "1.é.é", "1.x.====", "1"]
)
def test_malformed(sealed: str) -> None:
    """Text that was never sealed is refused, and not quoted."""
    assert _refusal(Sealer([NEW]), sealed) == MALFORMED


def test_truncated() -> None:
    """A value that lost its end is refused."""
    sealer = Sealer([NEW])
    head, _, payload = sealer.seal(VALUE, "row").rpartition(".")
    for length in range(1, len(urlsafe_b64decode(payload))):
        cut = urlsafe_b64encode(urlsafe_b64decode(payload)[:length]).decode()
        assert _refusal(sealer, f"{head}.{cut}") == FOREIGN


def test_wrong_key() -> None:
    """A value sealed with an unknown key is refused, also under the id of a known one."""
    sealed = Sealer([OLD]).seal(VALUE, "row")
    assert _refusal(Sealer([NEW]), sealed) == UNKNOWN_KEY
    assert _refusal(Sealer([NEW]), sealed.replace(OLD.id, NEW.id)) == FOREIGN


def test_associated_data() -> None:
    """The format, the key id and the identity of the row are bound to a value."""
    sealed = Sealer([NEW]).seal(VALUE, "row")
    octets = urlsafe_b64decode(sealed.removeprefix(f"1.{NEW.id}."))
    bound = f"1\0{NEW.id}\0row".encode()
    opened = AESGCM(NEW.secret).decrypt(octets[:12], octets[12:], bound)
    assert opened == VALUE.encode()


def test_one_spelling() -> None:
    """A value has one spelling: bits and characters that decoding ignores are refused."""
    sealer = Sealer([NEW])
    sealed = sealer.seal("", "row")  # 28 octets: four bits of the last character are unused
    assert sealed.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(sealed[-3]) ^ 1]
    assert _refusal(sealer, f"{sealed[:-3]}{other}==") == MALFORMED
    assert _refusal(sealer, f"{sealed[:-3]}\n{sealed[-3:]}") == MALFORMED


def test_same_value_twice() -> None:
    """Equal values do not look equal."""
    sealer = Sealer([NEW])
    assert sealer.seal(VALUE, "row") != sealer.seal(VALUE, "row")


def test_reseal() -> None:
    """A value of the old key is sealed with the new one, and one of the new key stays."""
    sealed = Sealer([OLD]).seal(VALUE, "row")
    both = Sealer([NEW, OLD])
    moved = both.reseal(sealed, "row")
    assert moved.startswith(both.prefix)
    assert both.reseal(moved, "row") == moved
    assert Sealer([NEW]).unseal(moved, "row") == VALUE
    with pytest.raises(SealingError):
        both.reseal(sealed, "another row")


def test_no_key_in_a_representation() -> None:
    """Neither a key nor a sealer shows what it holds."""
    assert repr(Sealer([NEW, OLD])) == f"Sealer({NEW.id}, {OLD.id})"
    assert repr(NEW) == "MasterKey()"


def test_replaced_while_in_use(tmp_path: Path) -> None:
    """A sealer follows its file: the new key seals, the old one still opens."""
    path = tmp_path / "master.key"
    old = create_master_key_file(path)
    sealer = Sealer.from_file(path)
    sealed = sealer.seal(VALUE, "row")
    replace_master_keys(path, [NEW, old])
    assert sealer.seal(VALUE, "row").startswith(f"1.{NEW.id}.")
    assert sealer.unseal(sealed, "row") == VALUE
    replace_master_keys(path, [NEW])
    assert _refusal(sealer, sealed) == UNKNOWN_KEY


def test_file_damaged_while_in_use(tmp_path: Path) -> None:
    """A sealer whose file is damaged or gone goes on with the keys that it has."""
    path = tmp_path / "master.key"
    key = create_master_key_file(path)
    sealer = Sealer.from_file(path)
    path.write_text("nonsense")
    assert sealer.seal(VALUE, "row").startswith(f"1.{key.id}.")
    path.unlink()
    assert sealer.seal(VALUE, "row").startswith(f"1.{key.id}.")
