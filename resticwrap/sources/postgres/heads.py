"""What it takes to make an empty database like another: all that `pg_dump --create` would write, as data and as SQL."""

import json
import re
from typing import Any

from resticwrap import errors
from resticwrap.model.databases import DatabaseHead
from resticwrap.sources.postgres.access import conninfo, literal, quoted

ASKED = """\
SELECT json_build_object(
  'encoding', pg_encoding_to_char(encoding), 'row', to_jsonb(d) - 'datacl', 'owner', pg_get_userbyid(datdba),
  'comment', shobj_description(oid, 'pg_database'),
  'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace),
  'acl', (SELECT json_agg(json_build_object('to', CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END,
                                            'what', privilege_type, 'on', is_grantable)
                          ORDER BY grantee, privilege_type) FROM aclexplode(datacl)),
  'settings', (SELECT json_agg(json_build_object('role', CASE setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(setrole)
                                                         END, 'config', setconfig) ORDER BY setrole)
               FROM pg_db_role_setting WHERE setdatabase = d.oid),
  'labels', (SELECT json_agg(json_build_object('by', provider, 'label', label) ORDER BY provider)
             FROM pg_shseclabel WHERE objoid = d.oid AND classoid = 'pg_database'::regclass))
FROM pg_database d WHERE datname = current_database();
"""
"""One line of JSON. The row is taken as JSON since its columns are others in each version."""
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
LISTS = (
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
)  # fmt: skip
"""Settings whose value is a list of names, quoted each (GUC_LIST_QUOTE)."""


def head_of(answer: str) -> DatabaseHead:
    """Out of what a database answers to `ASKED`. Raises DumpFailed for a name that psql cannot be told."""
    found = json.loads(answer)
    row = found["row"]
    name: str = row["datname"]
    if "\n" in name or "\r" in name:
        raise errors.DumpFailed("The name of a database holds the end of a line, which no dump can write.")
    return DatabaseHead(name=name, options=_options(found["encoding"], row), after=tuple(_after(found, row)))


def _options(encoding: str, row: dict[str, Any]) -> dict[str, str]:
    options = {"ENCODING": _text(encoding)}
    provider = PROVIDERS.get(row.get("datlocprovider") or "")
    if provider:
        options["LOCALE_PROVIDER"] = provider
    options |= {"LC_COLLATE": _text(row["datcollate"]), "LC_CTYPE": _text(row["datctype"])}
    locale = row.get("datlocale") or row.get("daticulocale")
    if provider in ("icu", "builtin") and locale:
        options["ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE"] = _text(locale)
    if row.get("daticurules"):
        options["ICU_RULES"] = _text(row["daticurules"])
    return options


def _after(found: dict[str, Any], row: dict[str, Any]) -> list[str]:
    after = [f"ALTER DATABASE {{}} OWNER TO {_name(found['owner'])}"]
    if found["tablespace"] != "pg_default":
        after.append(f"ALTER DATABASE {{}} SET TABLESPACE {_name(found['tablespace'])}")
    if row["datconnlimit"] >= 0:
        after.append(f"ALTER DATABASE {{}} CONNECTION LIMIT {row['datconnlimit']}")
    if row["datistemplate"]:
        after.append("ALTER DATABASE {} IS_TEMPLATE true")
    if found["comment"] is not None:
        after.append(f"COMMENT ON DATABASE {{}} IS {_text(found['comment'])}")
    after += [
        f"SECURITY LABEL FOR {_name(one['by'])} ON DATABASE {{}} IS {_text(one['label'])}"
        for one in found["labels"] or ()
    ]
    if found["acl"] is not None:
        after += ["REVOKE ALL ON DATABASE {} FROM PUBLIC", f"REVOKE ALL ON DATABASE {{}} FROM {_name(found['owner'])}"]
    for one in found["acl"] or ():
        to = "PUBLIC" if one["to"] is None else _name(one["to"])
        after.append(f"GRANT {one['what']} ON DATABASE {{}} TO {to}{' WITH GRANT OPTION' if one['on'] else ''}")
    for one in found["settings"] or ():
        of = "ALTER DATABASE {}" if one["role"] is None else f"ALTER ROLE {_name(one['role'])} IN DATABASE {{}}"
        after += [f"{of} SET {_setting(setting)}" for setting in one["config"]]
    return after


def _setting(setting: str) -> str:
    name, _, value = setting.partition("=")
    shown = ".".join(_name(part) for part in name.split("."))
    if name.lower() not in LISTS:
        return f"{shown} TO {_text(value)}"
    parts = [
        quoted.replace('""', '"') if quoted or not bare else bare
        for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|([^,\s"]+)', value)
    ]
    return f"{shown} TO {', '.join(map(_text, parts)) or _text('')}"


def _text(text: str) -> str:
    """A literal in which no `{}` stands, which means the database's name here."""
    return literal(text).replace("{", r"\x7b")


def _name(name: str) -> str:
    """An identifier in which no `{}` stands."""
    if "{" not in name:
        return quoted(name)
    return "U&" + quoted(name.replace("\\", "\\\\").replace("{", r"\007b"))


def creating(head: DatabaseHead, name: str) -> str:
    """The SQL that makes an empty database like the dumped one. Of template0, for the other may hold more than
    nothing."""
    options = " ".join(f"{word} {value}" for word, value in head.options.items())
    return f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {options}"


def by_hand(head: DatabaseHead) -> bytes:
    """What makes the database and connects to it, for whoever feeds a dump to psql. Where one of its name is there, it
    ends: what follows would be loaded into that one."""
    connect = "-reuse-previous=on " + quoted(conninfo(head.name))
    lines = [
        r"\set ON_ERROR_STOP on",
        f"{creating(head, head.name)};",
        rf"\connect {connect}",
        r"\set ON_ERROR_STOP off",
        *(sql.replace("{}", quoted(head.name)) + ";" for sql in head.after),
        "",
    ]
    return "\n".join(lines).encode()
