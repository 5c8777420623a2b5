"""Drills: restores that are rehearsed with a stopwatch, compared whole, and kept as evidence."""
