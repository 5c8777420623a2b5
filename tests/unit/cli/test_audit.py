"""What `rw audit` takes."""

from typing import get_args

import click
import pytest

from resticwrap.cli import audit
from resticwrap.clock import SystemClock
from resticwrap.errors import UsageError
from resticwrap.model.evidence import EvidenceKind
from resticwrap.services import auditor


def test_kinds_are_those_of_the_model() -> None:
    assert get_args(EvidenceKind) == audit.KINDS


def test_how_many_manifests() -> None:
    """A number, all of them, or none."""
    count = audit._Count()
    assert [count.convert(text, None, None) for text in ("7", "all", "none", "0")] == [7, None, 0, 0]
    for wrong in ("-1", "some", "1.5", ""):
        with pytest.raises(click.UsageError):
            count.convert(wrong, None, None)


def test_a_head_reads_back_as_it_is_shown() -> None:
    text = f"a1b2:12:{'d' * 64}"
    assert auditor.head_of(f" {text}\n", SystemClock().now()).words == text
    for wrong in ("", "a1b2:12", f"a1b2:x:{'d' * 64}", f"a1b2:12:{'D' * 64}"):
        with pytest.raises(UsageError):
            auditor.head_of(wrong, SystemClock().now())
