"""The base of all that an operator writes."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Unknown keys are errors, values never change, and no error ever shows an input, which may be a secret.

    Validators are built when first used: that halves what every command pays at its start.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, defer_build=True
    )
