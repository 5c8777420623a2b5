"""Pure decisions: facts and time in, a plan with reasons out."""
