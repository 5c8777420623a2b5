"""What is uploaded, in a form that an attempt can send again from its first byte."""

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

IN_MEMORY = 8 * 1024 * 1024
PIECE = 1024 * 1024


class Body:
    """Bytes or a file at its beginning. `md5` goes along as Content-MD5, so that a store refuses what arrives broken
    (neither client checks that by itself where plain uploads without trailers are asked for)."""

    def __init__(self, data: bytes | IO[bytes]) -> None:
        self._data = data
        self.md5 = base64.b64encode(_md5(data)).decode()

    def fresh(self) -> bytes | IO[bytes]:
        """The data, at its first byte."""
        if not isinstance(self._data, bytes):
            self._data.seek(0)
        return self._data


@contextmanager
def replayable(body: bytes | BinaryIO) -> Iterator[Body]:
    """A body that can be sent more than once; a stream that cannot be rewound is copied first, aside if it is large."""
    if isinstance(body, bytes) or (body.seekable() and body.tell() == 0):
        yield Body(body)
    else:
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as copy:
            shutil.copyfileobj(body, copy, PIECE)
            yield Body(copy)


def _md5(data: bytes | IO[bytes]) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    if isinstance(data, bytes):
        digest.update(data)
    else:
        data.seek(0)
        while piece := data.read(PIECE):
            digest.update(piece)
    return digest.digest()
