"""Reads the project's documents: fenced blocks, links, and every `rw …` that they mention."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CHANGELOG.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(?P<kind>[a-z]*)\n(?P<body>.*?)^```$", re.M | re.S)
MARK = re.compile(r"<!-- (?P<mark>\w+) -->\n\Z")
INLINE = re.compile(r"`(rw [^`\n]+)`")
LINK = re.compile(r"\]\((?P<to>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what the comment before it says (`run`), its text, the line it begins at,
    and the heading above it."""

    document: str
    line: int
    kind: str
    mark: str
    body: str
    section: str = ""

    @property
    def where(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Step:
    """One command of a block, and the lines that its output must hold."""

    command: str
    shows: tuple[str, ...]


def text_of(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def blocks(document: str) -> list[Block]:
    text = text_of(document)
    found = []
    for match in FENCE.finditer(text):
        mark = MARK.search(text, 0, match.start())
        line = text.count("\n", 0, match.start()) + 1
        section = ["", *HEADING.findall(FENCE.sub("", text[: match.start()]))][-1]
        found.append(Block(document, line, match["kind"], mark["mark"] if mark else "", match["body"], section))
    return found


def steps(block: Block) -> list[Step]:
    """The commands after `$ `, each with the lines below it. A backslash at the end of a line continues it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.body.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return [Step(command, tuple(shows)) for command, shows in found]


def shown(line: str, output: str) -> bool:
    """Whether a line of a document stands in an output. Spaces count as one; `…` stands for anything in a line."""
    pieces = [re.escape(" ".join(piece.split())) for piece in line.split("…")]
    return any(re.search(".*".join(pieces), " ".join(real.split())) for real in output.splitlines())


def shell_lines(block: Block) -> Iterator[str]:
    """The commands of a console, shell or unit block, one a line."""
    if block.kind == "console":
        yield from (step.command for step in steps(block))
    elif block.kind in ("sh", "ini", "cron"):
        yield from block.body.replace("\\\n", "").splitlines()


def rw_calls(document: str) -> Iterator[tuple[str, list[str]]]:
    """Every `rw` command line in blocks and in running text, as where it stands and its arguments."""
    for block in blocks(document):
        for line in shell_lines(block):
            for arguments in _calls(line):
                yield block.where, arguments
    prose = FENCE.sub("", text_of(document))
    for match in INLINE.finditer(prose):
        for arguments in _calls(match[1]):
            yield f"{document}: {match[1]}", arguments


def _calls(line: str) -> Iterator[list[str]]:
    """The arguments of each `rw` in a shell line; words like `|` and `&&` end a command."""
    lexer = shlex.shlex(line.replace("$(", " ( "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] | None = None
    for word in [*lexer, ";"]:
        if words is not None and not set(word) - set("();<>|&"):
            if words != ["$@"]:  # a wrapper around rw
                yield words
            words = None
        elif words is not None:
            words.append(word)
        elif word.rsplit("/", 1)[-1] in ("rw", "rw-env"):
            words = []


def links(document: str) -> Iterator[str]:
    """Where the document's links go, save those to other hosts."""
    for match in LINK.finditer(FENCE.sub("", text_of(document))):
        if "://" not in match["to"]:
            yield match["to"]


def anchors(document: str) -> set[str]:
    """The names by which headings can be linked to."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text_of(document)))
    }


def rows(document: str) -> Iterator[list[str]]:
    """The cells of every table row."""
    for line in FENCE.sub("", text_of(document)).splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_in(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)
