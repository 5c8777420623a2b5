"""A report on files of secrets, for the screens."""

from resticwrap.model.kit import KitFile, KitFiles
from tests.unit.report.samples import NASTY, NOW


def kit_files(planned: bool = False) -> KitFiles:
    files = (
        KitFile(domain="config", path=".env.prod", mode="600", size=1210),
        KitFile(domain="a_domain_with_quite_a_long_name", path=f"conf/{NASTY}/db.key", mode="640", size=1 << 20),
    )
    return KitFiles(target="s3", made_at=NOW, place=f"/root/{NASTY}", planned=planned, files=files)
