"""What a passphrase must be, and the page of steps that lies beside a recovery kit."""

import shlex
from pathlib import Path

from resticwrap import errors
from resticwrap.model.kit import KitReport

SHORTEST = 12


def check_passphrase(passphrase: str) -> None:
    """Raises UsageError for one that could be guessed."""
    if len(passphrase) < SHORTEST or len(set(passphrase)) < 5:
        raise errors.UsageError(
            f"The passphrase of a kit needs at least {SHORTEST} characters, and not the same few again and again.",
            hint="Several words that have nothing to do with each other, or --generate.",
        )


def steps(report: KitReport) -> str:
    """The page to print: what the file is, and what to do with it on an empty machine. It holds no secret."""
    file = shlex.quote(Path(report.file).name)
    rw, restic = report.versions.get("resticwrap", "?"), report.versions.get("restic", "?")
    head = report.head.words if report.head else "none yet"
    repositories = "\n".join(f"  {tier:<5} {name}" for tier, name in report.repositories.items())
    credentials = {
        "included": "The credentials of the storage are in the kit.",
        "elsewhere": f"The credentials of the storage are NOT in the kit. They are: {report.where}",
        "none": "There are no credentials in the kit: see the notes below."
        if report.notes
        else "The target needs no credentials.",
    }[report.credentials]
    taken = "\n   Files of secrets that are in it: rw kit secrets FILE --to FOLDER" if report.secrets else ""
    if report.needs:
        credentials += f"\n   Before step 4 set: {' '.join(report.needs)}"
        credentials += f"   ({report.where})" if report.credentials != "elsewhere" else ""
    notes = "".join(f"\nNote: {note}" for note in report.notes)
    return f"""RECOVERY KIT of target {report.target} ({report.provider}, namespace {report.namespace})

What this is
  {file} opens the backups of host {report.host}: with it, its passphrase and an empty
  machine, everything can be brought back. It was made on {report.made_at:%Y-%m-%d %H:%M:%S %Z} by {report.by}.
  Keep the passphrase elsewhere than the file. Whoever has both has the data.

  sha256 of the file   {report.digest}
  repositories
{repositories}
  newest evidence      {head}
{notes}
What to do on an empty machine
1. Check the file:
     sha256sum {file}
2. Get rw {rw} (Python 3.11 or newer) and restic {restic} (at least 0.18):
     python3 -m venv rw && rw/bin/pip install 'resticwrap[oss]=={rw}' && . rw/bin/activate
     apt-get install restic        (or https://github.com/restic/restic/releases/tag/v{restic})
3. Look into the kit (asks for the passphrase):
     rw kit show {file}
4. {credentials}{taken.replace("FILE", file)}
   Restore, into an empty folder on a disk with room for everything:
     rw kit restore {file} --to /srv/recovered
   The most important domains come first. If it is interrupted, run the same command again.
5. It prints what came back, whether all of it compared well, and how to go on from there.

Without rw
  The file is in the age format: `age --decrypt {file}` asks for the passphrase and prints JSON, in which
  `password` is the repositories' password, for any restic.
"""
