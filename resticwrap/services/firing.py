"""Which alerts fire, out of the book alone."""

from resticwrap.model.unattended import Alert
from resticwrap.planning.alertorder import ordered
from resticwrap.services.context import Records


def firing(records: Records) -> tuple[Alert, ...]:
    """What fires of a target and of this machine, the gravest first."""
    found = [one.alert for one in records.state.alert_book().watched if one.alert.state == "firing"]
    return tuple(ordered(one for one in found if one.target in ("", records.target_name)))
