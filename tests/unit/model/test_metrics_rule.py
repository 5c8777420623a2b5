"""Where the metrics go, as the policy says it."""

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from resticwrap import settings
from resticwrap.model.policy import MetricsRule
from tests.docs import ROOT


@pytest.mark.parametrize("listen", ["127.0.0.1:9823", "0.0.0.0:1", "[::1]:65535", "metrics.local:9823"])
def test_an_address_and_a_port(listen: str) -> None:
    assert MetricsRule(listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["", "9823", ":9823", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9823"])
def test_what_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError):
        MetricsRule(listen=listen)


@pytest.mark.parametrize("name", ["rw.txt", ".prom", "rw.prom.gz"])
def test_a_textfile_ends_in_prom(name: str) -> None:
    """node_exporter reads no others, and nobody would be told."""
    with pytest.raises(ValidationError, match=r"\.prom"):
        MetricsRule(textfile=Path("/srv") / name)
    assert MetricsRule(textfile=Path("/srv/rw.prom")).textfile == Path("/srv/rw.prom")


@pytest.mark.parametrize(("value", "listen"), [(None, None), ("", None), ("127.0.0.1:9823", "127.0.0.1:9823")])
def test_the_shipped_policy_listens_where_it_is_told(tmp_path: Path, value: str | None, listen: str | None) -> None:
    """Nowhere where the variable is not set or empty."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    env = {} if value is None else {"RW_METRICS_LISTEN": value}
    read = settings.load(tmp_path / "policies", {"HOME": str(tmp_path), **env})
    assert (read.schedule.metrics.listen, read.schedule.metrics.textfile) == (listen, None)
