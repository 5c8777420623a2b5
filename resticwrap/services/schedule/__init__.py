"""The scheduler: what runs by itself, and what is told of it."""
