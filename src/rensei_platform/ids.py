"""Ids and keys: random, with a prefix that says of what."""

import hashlib
import secrets


def new_id(prefix: str) -> str:
    """Return an id like `dmut_5f0c2b6a91d3e874a0b1c2d3`."""
    return f"{prefix}_{secrets.token_hex(12)}"


def new_key(prefix: str = "rsk_live_") -> str:
    """Return the text of a new key: 32 random bytes."""
    return prefix + secrets.token_hex(32)


def digest(secret: str) -> str:
    """Return what is stored of a key: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def shown_prefix(key: str) -> str:
    """Return the part of a key that is shown to people."""
    return key[:12]
