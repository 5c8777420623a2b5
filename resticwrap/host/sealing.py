"""Files encrypted with a passphrase in the age format (age-encryption.org): any other age opens them as well."""

import base64
import hashlib
import re

from resticwrap import errors

HEAD = b"age-encryption.org/v1\n"
STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([0-9]{1,2})\n([A-Za-z0-9+/]{43})\n--- ")
LABEL = b"age-encryption.org/v1/scrypt"
MOST_WORK = 22
"""As a power of two: what asks for more was not made by us, and would take minutes and gigabytes."""


class AgeSealing:
    """The port `Sealing` over pyrage."""

    def seal(self, plain: bytes, passphrase: str) -> bytes:
        from pyrage import passphrase as age

        return bytes(age.encrypt(plain, passphrase))

    def open(self, sealed: bytes, passphrase: str) -> bytes:
        import pyrage

        stanza = STANZA.match(sealed, len(HEAD)) if sealed.startswith(HEAD) else None
        if stanza is None or int(stanza[2]) > MOST_WORK:
            raise errors.Damaged(
                "This is no file that was encrypted with a passphrase by age.", hint="Is it the kit? rw kit export"
            )
        try:
            return bytes(pyrage.passphrase.decrypt(sealed, passphrase))
        except pyrage.DecryptError:
            pass
        # pyrage says the same of a wrong passphrase and of a damaged file; people need to know which.
        if not _fits(stanza, passphrase):
            raise errors.WrongPassword(
                "This passphrase does not open the kit.", hint="Try the passphrase that it was exported with."
            )
        raise errors.Damaged(
            "The kit is damaged: the passphrase is right, but the file is cut short or was changed.",
            hint="Take another copy of it; its page of steps says what sha256sum must print.",
        )


def _fits(stanza: re.Match[bytes], passphrase: str) -> bool:
    """Whether a passphrase opens the key in the file's head, whatever comes after it."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, work, body = _decoded(stanza[1]), 1 << int(stanza[2]), _decoded(stanza[3])
    key = hashlib.scrypt(
        passphrase.encode(), salt=LABEL + salt, n=work, r=8, p=1, maxmem=1024 * work + (1 << 26), dklen=32
    )
    try:
        ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
    except InvalidTag:
        return False
    return True


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))
