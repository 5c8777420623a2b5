"""`python -m benchmarks`: measure, print a table, write JSON to `benchmarks/results/`."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES
from benchmarks.measure import Row
from benchmarks.rig import Rig, load, machine
from resticwrap.restic.install import dotted, installed, restic_version

RESULTS = Path(__file__).parent / "results"
STYLE = {"ok": "green", "missed": "bold red", "not judged": "dim"}


def main() -> int:
    """0 when every limit was kept (or in a smoke run, when everything ran), 1 when one was missed."""
    options = _options()
    err, out = Console(stderr=True), Console()
    restic = options.restic or _newest_restic()
    about = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "restic": dotted(restic_version(restic)),
        "quick": options.quick,
        "machine": machine(),
    }
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rw-bench-", dir=options.folder) as folder:
        for name in options.only or CASES:
            case = CASES[name]
            free = shutil.disk_usage(folder).free
            if not options.quick and free < case.room:
                err.print(
                    f"{name}: needs {case.room >> 30} GiB below {folder}, {free >> 30} GiB are free", markup=False
                )
                return 1
            rig = Rig(Path(folder), restic, options.quick)
            err.print(f"{name} …", markup=False)
            before, started = load(), time.monotonic()
            for row in case.measure(rig):
                rows.append(_shown(row, about, before, options.quick))
                err.print(f"  {row.name}: {row.measured:.3f} {row.unit}", markup=False)
                before = load()
            err.print(f"  took {time.monotonic() - started:.0f} s", markup=False)
            rig.empty_folder()
    out.print(_table(rows, about))
    out.print(f"Written to {_write(rows, about, options.out)}", markup=False)
    return int(any(row["verdict"] == "missed" for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(CASES),
        metavar="NAME",
        help=f"one of {', '.join(CASES)}; may be repeated",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run on little data: shows that it runs, judges nothing"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to work: some 12 GiB, on the kind of disk to be measured [default: the temporary folder]",
    )
    parser.add_argument("--restic", type=Path, help="which restic [default: the newest that `make restics` fetched]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes [default: benchmarks/results]")
    return parser.parse_args()


def _newest_restic() -> Path:
    known = installed(os.environ)
    if not known:
        sys.exit("No restic in the cache: make restics")
    return list(known.values())[-1]


def _shown(row: Row, about: dict[str, Any], before: float, quick: bool) -> dict[str, Any]:
    return {
        "name": row.name,
        "what": row.what,
        "measured": round(row.measured, 4),
        "unit": row.unit,
        "limit": row.limit,
        "verdict": row.verdict(quick=quick),
        "machine": about["machine"],
        "restic": about["restic"],
        "load": [before, load()],
        "details": dict(row.details),
    }


def _table(rows: list[dict[str, Any]], about: dict[str, Any]) -> Table:
    on = about["machine"]
    table = Table(
        title=f"rw beside restic {about['restic']}, {on['processors']} x {on['processor']}, Python {on['python']}",
        caption="x: as a multiple of bare restic in the same run; load: of the last minute, before and after",
    )
    for heading in ("name", "what", "measured", "limit", "load", "verdict"):
        table.add_column(heading, justify="right" if heading in ("measured", "limit", "load") else "left")
    for row in rows:
        unit, digits = row["unit"], 3 if row["unit"] in ("x", "s") else 0
        limit = "" if row["limit"] is None else f"{row['limit']:g} {unit}"
        verdict = f"[{STYLE[row['verdict']]}]{row['verdict']}[/]"
        shown = f"{row['measured']:.{digits}f} {unit}"
        table.add_row(row["name"], row["what"], shown, limit, "{} {}".format(*row["load"]), verdict)
    return table


def _write(rows: list[dict[str, Any]], about: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{about['time'].replace(':', '').replace('+0000', 'Z')}.json"
    file.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    return file


if __name__ == "__main__":
    sys.exit(main())
