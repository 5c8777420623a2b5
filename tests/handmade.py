"""Repositories and keys made by hand, in restic's own formats: for tests that need a fault or a shape that restic
itself would not produce, and to spare the others the half second that each opening of a real key takes."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

from resticwrap.errors import ObjectMissing
from resticwrap.restic.crypto import MasterKey
from resticwrap.restic.repofiles import FileKind

ENCRYPT, MAC_K, MAC_R = bytes(range(32)), bytes(range(50, 66)), bytes(range(80, 96))
KEY = MasterKey(ENCRYPT, MAC_K, MAC_R)


def seal(plain: bytes, encrypt: bytes = ENCRYPT, mac_k: bytes = MAC_K, mac_r: bytes = MAC_R) -> bytes:
    """Encrypt the way restic does."""
    nonce = os.urandom(16)
    body = Cipher(algorithms.AES(encrypt), modes.CTR(nonce)).encryptor().update(plain)
    one_time = Cipher(algorithms.AES(mac_k), modes.ECB()).encryptor().update(nonce)
    return nonce + body + Poly1305.generate_tag(mac_r + one_time, body)


def cheap_key(repository: Path, password: str, master_key: bytes) -> None:
    """Replace the keys of a local repository by one that opens in no time. `master_key`: of `restic cat masterkey`."""
    salt = os.urandom(64)
    derived = Scrypt(salt=salt, length=64, n=1024, r=8, p=1).derive(password.encode())
    sealed = seal(master_key, derived[:32], derived[32:48], derived[48:])
    document = json.dumps(
        {
            "created": "2026-01-01T00:00:00Z",
            "username": "test",
            "hostname": "test",
            "kdf": "scrypt",
            "N": 1024,
            "r": 8,
            "p": 1,
            "salt": base64.b64encode(salt).decode(),
            "data": base64.b64encode(sealed).decode(),
        }
    ).encode()
    keys = repository / "keys"
    for old in keys.iterdir():
        old.unlink()
    (keys / hashlib.sha256(document).hexdigest()).write_bytes(document)


def cheap_age(plain: bytes, passphrase: str) -> bytes:
    """A file in the age format that opens in no time: `age` itself takes a second and 256 MiB over every passphrase.
    Up to 64 KiB, which is one piece of that format."""
    key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrap = Scrypt(salt=b"age-encryption.org/v1/scrypt" + salt, length=32, n=1024, r=8, p=1).derive(passphrase.encode())
    body = ChaCha20Poly1305(wrap).encrypt(bytes(12), key, None)
    head = b"age-encryption.org/v1\n-> scrypt " + _unpadded(salt) + b" 10\n" + _unpadded(body) + b"\n---"
    mac = hmac.digest(_hkdf(key, None, b"header"), head, "sha256")
    last = bytes(11) + b"\x01"
    sealed = ChaCha20Poly1305(_hkdf(key, nonce, b"payload")).encrypt(last, plain, None)
    return head + b" " + _unpadded(mac) + b"\n" + nonce + sealed


def _unpadded(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _hkdf(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def node(name: str, kind: str = "file", **fields: Any) -> dict[str, Any]:
    """A node of a tree as restic writes it."""
    return {"name": name, "type": kind, "mode": 0o644, "mtime": "2026-03-01T08:00:00.123456789Z", **fields}


class HandmadeRepository:
    """A repository in memory that counts what is read of it. Implements RepositoryFiles."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], list[bytes]] = {}
        self.reads: list[tuple[str, str, int]] = []
        self._pending: list[tuple[bytes, dict[str, Any]]] = []

    def tree(self, *nodes: dict[str, Any], compress: bool = True) -> str:
        """Put a tree into the pack that is being filled; returns its id."""
        return self.blob(json.dumps({"nodes": list(nodes)}, separators=(",", ":")).encode(), "tree", compress=compress)

    def blob(self, plain: bytes, kind: str = "data", *, compress: bool = False) -> str:
        blob = hashlib.sha256(plain).hexdigest()
        entry: dict[str, Any] = {"id": blob, "type": kind}
        if compress:
            entry["uncompressed_length"] = len(plain)
            plain = zstandard.ZstdCompressor().compress(plain)
        self._pending.append((seal(plain), entry))
        return blob

    def pack(self) -> dict[str, Any]:
        """Close the pack; returns what an index says of it."""
        content, blobs = b"", []
        for sealed, entry in self._pending:
            blobs.append({**entry, "offset": len(content), "length": len(sealed)})
            content += sealed
        self._pending.clear()
        name = hashlib.sha256(content).hexdigest()
        self.files["data", name] = [content]
        return {"id": name, "blobs": blobs}

    def index(self, *packs: dict[str, Any], spaces: bool = False, **more: Any) -> str:
        """Write an index file; returns its name."""
        document = json.dumps({**more, "packs": list(packs)}, separators=None if spaces else (",", ":")).encode()
        sealed = seal(b"\x02" + zstandard.ZstdCompressor().compress(document))
        name = hashlib.sha256(sealed).hexdigest()
        self.files["index", name] = [sealed]
        return name

    def names(self, kind: FileKind) -> list[tuple[str, int]]:
        return [(name, len(copies[-1])) for (its_kind, name), copies in self.files.items() if its_kind == kind][::-1]

    def copies(self, kind: FileKind, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        for content in self.files.get((kind, name), []):
            self.reads.append((kind, name, offset))
            yield content[offset:] if length is None else content[offset : offset + length]
        if (kind, name) not in self.files:
            raise ObjectMissing(f"no {kind} {name}")
