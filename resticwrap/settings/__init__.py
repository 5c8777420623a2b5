"""The policies as the program sees them: read, expanded, validated, frozen; every problem at once, with file and line.

`tree` reads YAML with its lines, `variables` expands `${VAR}`, `validate` turns both into models, `crosscheck` looks
across the files, `loading` puts it together, `view` shows it. pydantic and YAML are imported only where they are
used, so that importing this costs nothing.
"""

from resticwrap.settings.loading import Settings, check, find_folder, load
from resticwrap.settings.view import FileName, json_schema, show
from resticwrap.settings.watched import Watched

__all__ = ["FileName", "Settings", "Watched", "check", "find_folder", "json_schema", "load", "show"]
