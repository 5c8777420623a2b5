"""What of the policies is a secret, so that a kit that only refers to credentials holds none."""

from pathlib import Path

import pytest

from resticwrap.settings.used import used

POLICY = """
targets:
  main: {{provider: s3, credentials: {{access_key_id: "${{KEY}}", secret_access_key: "{main}"}}}}
  second: {{provider: s3, bucket: "${{OTHER}}", credentials: {{secret_access_key: "{second}"}}}}
"""


@pytest.mark.parametrize(
    ("main", "second"), [("${SECRET}", "${SECOND}"), ("plain", "${SECOND}"), ("${SECRET}", "plain")]
)
def test_literal_credentials(tmp_path: Path, main: str, second: str) -> None:
    """Credentials that stand in the policies are told of, be it another target's, whose variables stay out."""
    (tmp_path / "targets.yaml").write_text(POLICY.format(main=main, second=second))
    found = used(tmp_path, {"KEY": "k", "SECRET": "s", "SECOND": "t", "OTHER": "o"}, "main")
    assert found.literal == ("plain" in (main, second))
    assert not {"SECOND", "OTHER"} & found.values.keys() and "KEY" in found.secret
