"""The server's log on standard error: plain lines, or with `--log-json` one JSON object a line.

A line about a request holds numbers and names, never its text, unless `--log-text` asked for it. A traceback is written as
its frames and the exception's type: messages of foreign exceptions may quote what a client sent.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from truemark.errors import TruemarkError

FIELDS = "fields"
"""Name under which a log record carries its fields: `log.info("…", extra={FIELDS: {...}})`."""


def to_stderr(*, as_json: bool) -> None:
    """Send every log line of this process there: ours from INFO, others' from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else PlainLines("%(asctime)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("truemark.serve").setLevel(logging.INFO)


class PlainLines(logging.Formatter):
    """As `logging` writes them, less the messages of foreign exceptions."""

    def formatException(self, ei: Any) -> str:
        return where(ei[1])


class JsonLines(logging.Formatter):
    """One object a line, ASCII: no value can break out of its line."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            row["exception"] = where(record.exc_info[1])
        return json.dumps(row, separators=(",", ":"), default=str)


def where(error: BaseException) -> str:
    """Type and frames of an error and of its cause, without messages but those of our own errors."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 4:
        said = f": {cause.message}" if isinstance(cause, TruemarkError) else ""
        parts.append("".join(traceback.format_tb(cause.__traceback__)) + type(cause).__qualname__ + said)
        cause = cause.__cause__ or cause.__context__
    return "\nfrom ".join(parts)
