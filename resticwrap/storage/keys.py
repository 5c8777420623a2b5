"""Which keys a store accepts: the same ones whether it is a folder or a bucket."""

from resticwrap import errors

MAX_BYTES = 1024
"""The longest key that S3 and OSS take."""


def check_key(key: str) -> str:
    """The key itself. Raises UsageError where it could leave the store or mean two things: it is empty or too long,
    begins or ends with `/`, holds an empty part, `.` or `..`, a control character, or is not valid Unicode."""
    if not key or any(part in ("", ".", "..") for part in key.split("/")) or not _plain(key):
        raise errors.UsageError(f"{key!r} cannot be the key of an object.")
    return key


def check_prefix(prefix: str) -> str:
    """As check_key, but empty is fine and the last part may be unfinished or empty: `a/` and `a/b` are prefixes."""
    if any(part in ("", ".", "..") for part in prefix.split("/")[:-1]) or not _plain(prefix):
        raise errors.UsageError(f"{prefix!r} cannot be the prefix of a key.")
    return prefix


def _plain(text: str) -> bool:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return size <= MAX_BYTES and not any(ord(char) < 32 or ord(char) == 127 for char in text)
