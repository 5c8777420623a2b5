"""What is remembered of jobs and snapshots, and the small files of the state directory.

Nothing is imported here: `state.py` is on the way to restic's start, and SQLAlchemy must not be.
"""
