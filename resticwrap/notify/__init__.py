"""Tells people, and pings who watches over us: Apprise and healthchecks."""
