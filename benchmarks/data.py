"""Data to back up, the same in every run: a fixed seed makes it."""

import random
from collections.abc import Iterator
from pathlib import Path

SEED = 20260301
MIB = 1 << 20
SMALL_MEAN = 26 * 1024
POOL = 4 * MIB
PIECE = 8 * 1024
SYLLABLES = "ba co de fi gu ha jo ka le mi no pe ra so tu va we xi yo za ing tion ment able".split()


def mixed(folder: Path, size: int, seed: int = 0) -> None:
    """`size` bytes below `folder`: half incompressible and half like text; a quarter in many small files (26 KiB in
    the mean), the rest in a dozen large ones. Other data for another `seed`."""
    dice = random.Random(SEED + seed)
    text = _text_pool(dice)
    for number, length in enumerate(_small_lengths(dice, size // 4)):
        file = folder / "small" / f"{number // 250:04d}" / f"{number:06d}.{'txt' if number % 2 else 'bin'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_text(dice, text, length) if number % 2 else dice.randbytes(length))
    large = folder / "large"
    large.mkdir(parents=True)
    length = (size - size // 4) // 12
    for number in range(12):
        with (large / f"{number:02d}").open("wb") as out:
            for start in range(0, length, 8 * MIB):
                part = min(8 * MIB, length - start)
                out.write(_text(dice, text, part) if number % 2 else dice.randbytes(part))


def large(folder: Path, size: int) -> None:
    """`size` bytes in sixteen files, half of them incompressible and half like text."""
    dice = random.Random(SEED)
    text = _text_pool(dice)
    folder.mkdir(parents=True)
    for number in range(16):
        with (folder / f"{number:02d}").open("wb") as out:
            for start in range(0, size // 16, 8 * MIB):
                part = min(8 * MIB, size // 16 - start)
                out.write(_text(dice, text, part) if number % 2 else dice.randbytes(part))


def small(folder: Path, files: int, *, per_folder: int = 500) -> None:
    """Many files of 5 KiB in the mean, half of them incompressible and half like text."""
    dice = random.Random(SEED)
    text = _text_pool(dice)
    for number in range(files):
        below = folder / f"{number // per_folder:04d}"
        if number % per_folder == 0:
            below.mkdir(parents=True)
        length = 200 + int(dice.expovariate(1 / 4800))
        content = _text(dice, text, length) if number % 2 else dice.randbytes(length)
        (below / f"{number:06d}").write_bytes(content)


def tiny(folder: Path, files: int, *, per_folder: int = 500) -> None:
    """Many files of some 20 bytes each, all different."""
    for start in range(0, files, per_folder):
        below = folder / f"{start // per_folder:05d}"
        below.mkdir(parents=True)
        for number in range(start, min(start + per_folder, files)):
            (below / f"answer_{number:07d}.txt").write_bytes(b"answer %012d\n" % number)


def change_tiny(folder: Path, turn: int, folders: int | None = None) -> None:
    """Change one file in each of so many folders of `tiny`; in all of them, a comparison has to read every tree."""
    for below in sorted(folder.iterdir())[:folders]:
        next(iter(sorted(below.iterdir()))).write_bytes(b"changed in turn %06d\n" % turn)


def _small_lengths(dice: random.Random, size: int) -> Iterator[int]:
    left = size
    while left > 0:
        length = min(left, 200 + int(dice.expovariate(1 / SMALL_MEAN)))
        yield length
        left -= length


def _text_pool(dice: random.Random) -> bytes:
    words = ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(5000)]
    return " ".join(dice.choices(words, k=POOL // 6)).encode()[:POOL]


def _text(dice: random.Random, pool: bytes, length: int) -> bytes:
    """Pieces of the pool in an order of their own: compresses like text, and no two files share a chunk."""
    starts = (dice.randrange(len(pool) - PIECE) for _ in range(-(-length // PIECE)))
    return b"".join(pool[start : start + PIECE] for start in starts)[:length]
