"""SQLite files, by the library that Python brings."""
