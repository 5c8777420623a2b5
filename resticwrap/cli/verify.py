"""`rw verify`."""

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw verify --share 1/12",
        "0 1 2 10 12 20 22 130",
        code_20="damage, or a sample that did not compare",
    )
)
@common
@click.option("--tier", type=click.Choice(["hot", "cold"]), default="hot", show_default=True)
@click.option(
    "--share", metavar="1/N", help="Which part of the packs to read back, N from 1 to 256 [default: the policy's]."
)
@click.option("--sample", type=click.IntRange(1, 10_000), help="Files to restore and compare [default: the policy's].")
@click.option("--seed", type=int, help="Repeat the sample of an earlier verify.")
def command(common: Common, tier: str, share: str | None, sample: int | None, seed: int | None) -> None:
    """Read the store back: its structure, the share of packs that is due, and a sample of files restored for real.

    Reads from the store and not from the local cache, and holds no restic lock, so backups go on meanwhile.
    """
    from pydantic import ValidationError

    from resticwrap.model.policy import VerifyRule
    from resticwrap.report import text
    from resticwrap.services.verify import verify

    given = {key: value for key, value in (("share", share), ("sample", sample)) if value is not None}
    try:
        VerifyRule.model_validate(given)
    except ValidationError:
        raise click.BadParameter(
            "must be 1/N with N from 1 to 256, or 1 for everything", param_hint="--share"
        ) from None

    run(
        common,
        lambda house: verify(
            house.context,
            tier,
            house.settings.schedule.verify.model_copy(update=given),
            tuple(house.settings.select_domains(common.domains)) if common.domains else (),
            seed,
        ),
        text.verify,
        lambda report: errors.OK if report.ok else errors.VERIFY_FAILED,
    )
