"""Decrypting what restic wrote: AES-256 in counter mode, authenticated with Poly1305-AES, compressed with zstd.

Read-only, and the key stays in memory. The formats are in restic's own design document:
https://restic.readthedocs.io/en/stable/100_references.html
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from resticwrap.errors import Damaged
from resticwrap.model.base import from_json

IV_BYTES = 16
TAG_BYTES = 16
OVERHEAD = IV_BYTES + TAG_BYTES
"""How much longer a ciphertext is than what was encrypted, in bytes."""

LARGE = 4 << 20
"""Blobs of more bytes than this are handed on piece by piece."""

COMPRESSED_FILE: Final = b"\x02"
"""The first byte of a decrypted file (index, snapshot) that is compressed; anything else is the JSON itself."""


class _Mac(msgspec.Struct):
    k: str
    r: str


class _KeyDocument(msgspec.Struct):
    mac: _Mac
    encrypt: str


class MasterKey:
    """The key of one repository. Never written anywhere: its `repr` is masked and it cannot be pickled."""

    __slots__ = ("_encrypt", "_mac_k", "_mac_r")

    def __init__(self, encrypt: bytes, mac_k: bytes, mac_r: bytes) -> None:
        self._encrypt = encrypt
        self._mac_k = mac_k
        self._mac_r = mac_r

    @classmethod
    def from_json(cls, document: bytes) -> "MasterKey":
        """From what `restic cat masterkey` prints. Raises Damaged, without the document in it."""
        try:
            found = from_json(_KeyDocument, document)
            parts = [msgspec.convert(part, bytes) for part in (found.encrypt, found.mac.k, found.mac.r)]
        except msgspec.DecodeError:
            raise Damaged("restic did not print a master key.") from None
        if [len(part) for part in parts] != [32, 16, 16]:
            raise Damaged("restic printed a master key of another length than AES-256 and Poly1305-AES need.")
        return cls(*parts)

    def __repr__(self) -> str:
        return "MasterKey(***)"

    def __reduce__(self) -> str:
        raise TypeError("a master key stays in memory")

    def fingerprint(self, polynomial: str) -> str:
        """16 hex digits for the chunker parameters that tell nothing to who has not this key."""
        return hmac.new(self._encrypt, b"resticwrap chunker:" + polynomial.encode(), hashlib.sha256).hexdigest()[:16]

    def decrypt(self, sealed: bytes) -> bytes:
        """The plaintext. Raises Damaged where the bytes are not what restic wrote with this key."""
        if len(sealed) < OVERHEAD:
            raise Damaged(f"{len(sealed)} bytes are too few to be anything that restic encrypted.")
        nonce, tag = sealed[:IV_BYTES], sealed[-TAG_BYTES:]
        body = memoryview(sealed)[IV_BYTES:-TAG_BYTES]
        # ECB of a single block is how Poly1305-AES is defined: it makes the one-time half of the key from the nonce.
        one_time = Cipher(algorithms.AES(self._mac_k), modes.ECB()).encryptor().update(nonce)
        try:
            Poly1305.verify_tag(self._mac_r + one_time, body, tag)
        except InvalidSignature:
            raise Damaged("Bytes of the repository do not decrypt: they are not what restic wrote.") from None
        return Cipher(algorithms.AES(self._encrypt), modes.CTR(nonce)).decryptor().update(body)

    def open_file(self, sealed: bytes) -> Iterator[bytes]:
        """The JSON of a whole file (index, snapshot, config), piece by piece since an index may be large.

        Raises Damaged.
        """
        plain = self.decrypt(sealed)
        if plain[:1] != COMPRESSED_FILE:
            yield plain
            return
        try:
            yield from zstandard.ZstdDecompressor().read_to_iter(memoryview(plain)[1:])
        except zstandard.ZstdError as error:
            raise Damaged("A file of the repository does not decompress.") from error

    def open_blob(self, sealed: bytes, id_: bytes, uncompressed: int) -> Iterable[bytes]:
        """The bytes of a blob out of a pack, compared with their id. `uncompressed` 0: it is not compressed.

        They come in one piece, or in many where they are more than `LARGE`: a folder of half a million files is a tree
        of 200 MB. A large one is decompressed twice, once to compare it before anybody sees a byte. Raises Damaged.
        """
        plain = self.decrypt(sealed)
        digest = hashlib.sha256()
        try:
            pieces: list[bytes] | None = None
            if not uncompressed:
                pieces = [plain]
            elif uncompressed <= LARGE:
                pieces = [zstandard.ZstdDecompressor().decompress(plain, max_output_size=uncompressed)]
            for piece in zstandard.ZstdDecompressor().read_to_iter(plain) if pieces is None else pieces:
                digest.update(piece)
        except zstandard.ZstdError as error:
            raise Damaged(f"The blob {id_.hex()[:8]} does not decompress.") from error
        if digest.digest() != id_:
            raise Damaged(f"The blob {id_.hex()[:8]} does not hash to its name.")
        return zstandard.ZstdDecompressor().read_to_iter(plain) if pieces is None else pieces


def chunker_fingerprint(polynomial: str) -> str:
    """16 hex digits for the chunker parameters of a repository: content ids of large files compare only within them.

    `polynomial` is the text in the repository's config, and a secret: it has but 53 bits, so this digest is a riddle
    that can be solved. It goes into content ids, together with the ids of blobs, and is published nowhere by itself.
    """
    return hashlib.sha256(b"resticwrap chunker v1:" + polynomial.encode()).hexdigest()[:16]
