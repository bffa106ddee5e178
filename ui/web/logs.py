"""How lines of the log look: as text, or as one JSON object a line. No password of an address gets into either."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from db.schema.urls import hide_secrets
from engine.strict_json import as_object, to_json_text

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class _Lines(logging.Formatter):
    """Lines of text.

    Args:
        database: The database's address, whose password is replaced wherever it stands.
    """

    def __init__(self, database: str) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._database = database

    def format(self, record: logging.LogRecord) -> str:
        return hide_secrets(super().format(record), self._database)


class _JsonLines(_Lines):
    """One JSON object a line: time, level, logger and message; what a request adds; the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide_secrets(record.getMessage(), self._database),
            **(as_object(getattr(record, "fields", None)) or {}),
        }
        if record.exc_info:
            said["error"] = hide_secrets(self.formatException(record.exc_info), self._database)
        return to_json_text(said)


def set_up_logging(form: LogFormat, *, level: LogLevel, database: str) -> None:
    """Send everything that is logged to standard error, other libraries' warnings among it.

    Args:
        form: How lines look.
        level: The least that is logged.
        database: The database's address, whose password no line shows.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(database) if form == "json" else _Lines(database))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They tell of each request that they send, with its whole address, and of each byte.
    for library in ("httpx", "httpcore", "urllib3", "asyncio", "alembic", "multipart", "python_multipart", "matplotlib", "PIL"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)
