"""What of a dump's roles a server is to take. Pure: the text of `pg_dumpall --globals-only` in, SQL out."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

IDENTIFIER = r'((?:"(?:[^"]|"")*"|[^\s";,]+))'
TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*\n?|\\[^\n]*\n?|;|[^'\"\-\\;]+|.", re.DOTALL)
ROLE = re.compile(rf"(?:CREATE|ALTER|COMMENT ON|SECURITY LABEL FOR \S+ ON) ROLE {IDENTIFIER}")
MEMBER = re.compile(rf"GRANT {IDENTIFIER} TO {IDENTIFIER}")
TABLESPACE = re.compile(rf"CREATE TABLESPACE {IDENTIFIER}")


@dataclass(frozen=True)
class Wanted:
    """What to run, and the tablespaces that there were, as SQL writes their names."""

    sql: str
    spaces: tuple[str, ...] = ()


def statements(text: str) -> Iterator[str]:
    """The statements of a script, without comments and psql's own commands: a semicolon in quotes ends none."""
    found = ""
    for token in TOKEN.findall(text):
        if token.startswith(("--", "\\")) and len(token) > 1:
            continue
        found += token
        if token == ";":
            yield found.strip()
            found = ""


def wanted_globals(text: str, known: Collection[str], *, all_roles: bool) -> Wanted:
    """Roles that are not `known` (as SQL writes their names) with their settings and what they are members of;
    `all_roles`: all of them, known or not. Tablespaces lie in folders of one machine, so they are named alone."""
    taken, spaces = [], []
    for one in statements(text):
        space, role, member = TABLESPACE.match(one), ROLE.match(one), MEMBER.match(one)
        if space:
            spaces.append(space[1])
        elif " ON TABLESPACE " in one or one.startswith("ALTER TABLESPACE"):
            continue
        elif (
            one.startswith("SET ")
            or all_roles
            or (role and role[1] not in known)
            or (member and member[2] not in known)
        ):
            taken.append(one)
    nothing = all(one.startswith("SET ") for one in taken)
    return Wanted("" if nothing else "\n".join(taken) + "\n", tuple(spaces))
