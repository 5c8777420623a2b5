"""Databases: out of a snapshot into a server, asked, compared, exchanged."""
