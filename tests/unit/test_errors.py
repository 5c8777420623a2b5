"""The tree of errors: what every one of them has."""

import inspect

import pytest

from resticwrap import errors
from resticwrap.errors import Problem

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.Failure)]
CODES = {
    "NoRepository": 10, "OtherRepository": 10, "Locked": 11, "LockLost": 11, "WrongPassword": 12,
    "VerifyFailed": 20, "Damaged": 20,
    "TargetUnreachable": 22, "TargetRefused": 22, "NoSuchCall": 22, "PolicyError": 2, "UsageError": 2,
    "UnsafeBucket": 2, "LifecycleRefused": 2, "NameTaken": 2, "GateClosed": 21,
    "Interrupted": 130,
}  # fmt: skip
"""What is not named here exits 1."""


def make(kind: type[errors.Failure], hint: str = "") -> errors.Failure:
    """One of each, with a sentence where it takes one."""
    return errors.PolicyError([]) if kind is errors.PolicyError else kind("It is so.", hint=hint)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_failure(kind: type[errors.Failure]) -> None:
    """It has a sentence, a hint (also where nobody gave one), a stable name, a docstring and its exit code."""
    failure = make(kind)
    assert failure.message and str(failure) == failure.message and failure.hint
    assert failure.kind == kind.__name__ and kind.__doc__
    assert failure.exit_code == CODES.get(kind.__name__, 1)
    assert kind is errors.PolicyError or make(kind, "do this").hint == "do this"


def test_codes_name_kinds() -> None:
    """The table has no name that the tree has not."""
    assert set(CODES) <= {kind.__name__ for kind in ALL}


def test_exit_codes_are_resticwraps_contract() -> None:
    """The numbers that scripts know."""
    assert (errors.OK, errors.FAILED, errors.USAGE, errors.PARTIAL) == (0, 1, 2, 3)
    assert (errors.NO_REPOSITORY, errors.LOCKED, errors.WRONG_PASSWORD) == (10, 11, 12)
    assert (errors.VERIFY_FAILED, errors.GATE_CLOSED, errors.UNREACHABLE, errors.INTERRUPTED) == (20, 21, 22, 130)


def test_a_policy_error_tells_every_problem() -> None:
    """With file, line and path; in words that fit the number."""
    one = Problem("targets.yaml", 3, "targets.main.path", "must be an absolute path")
    assert str(one) == "targets.yaml:3: targets.main.path: must be an absolute path"
    assert str(Problem("tiers.yaml", 0, "tiers", "is missing")) == "tiers.yaml: tiers: is missing"
    assert errors.PolicyError([one]).message == "The policies have 1 problem."
    both = errors.PolicyError([one, one])
    assert both.message == "The policies have 2 problems." and both.problems == (one, one)
