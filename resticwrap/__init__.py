"""resticwrap (`rw`): backups with restic that can prove they restore."""

__version__ = "0.1.0"
