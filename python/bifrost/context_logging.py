# SPDX-License-Identifier: Apache-2.0
"""
Log lines that say who asked, and never with which token.

```python
configure_logging("INFO")
with Context(user="ann", trace_id="4bf9").active():
    bifrost_host.resolve_asset_path(asset_uri)  # lines have "ann" and "4bf9" in them
```
"""

from __future__ import annotations

import logging
from typing import Final, TextIO

from bifrost.context import effective
from bifrost.control_characters import escaped, in_one_line
from bifrost.errors import PermissionDeniedException
from bifrost.redaction import redacted

FORMAT: Final = (
    "%(asctime)s %(levelname)s %(name)s [user=%(user)s project=%(project)s trace=%(trace_id)s] "
    "%(message)s"
)
"""What `configure_logging` writes; a `ContextFilter` gives the fields."""

FIELDS: Final = ("user", "project", "trace_id", "session")
"""What a `ContextFilter` adds to a record: texts, empty where nothing is known."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class ContextFilter(logging.Filter):
    """
    Puts who asks on every record, and takes secrets out of it. It lets every record pass. What Bifrost
    itself logs is one line, without control characters, whatever names are in it.

    It belongs on a handler: a logger's filters don't see what its children log. A record's message,
    arguments, exception, stack and extra texts are without secrets from here on, for every handler that
    comes later. Fields that the caller gave stay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change *record* in place; True."""
        for name, text in zip(FIELDS, _about_the_context(), strict=True):
            record.__dict__.setdefault(name, in_one_line(text))
        _redact_message(record)
        _redact_exception(record)
        for name, value in vars(record).items():
            if isinstance(value, str) and name not in _STANDARD:
                record.__dict__[name] = redacted(value)
        return True


def configure_logging(
    level: int | str = "WARNING", *, stream: TextIO | None = None, logger: str = "bifrost"
) -> logging.Handler | None:
    """
    Have what Bifrost logs written, with who asked and without secrets. For applications; idempotent.

    Handlers that are there already, of *logger* or above it, get a `ContextFilter`. Only where there
    are none, or for a *stream* of its own, a handler is made and returned.

    Args:
        level: What is logged from here up.
        stream: Where to; None for the handlers that are there, else the standard error.
        logger: Which logger; "" for the root.
    """
    target = logging.getLogger(logger)
    target.setLevel(level)
    for ours in [each for each in target.handlers if isinstance(each, _OurHandler)]:
        target.removeHandler(ours)
    for handler in _handlers(target):
        if not any(isinstance(each, ContextFilter) for each in handler.filters):
            handler.addFilter(ContextFilter())
    if stream is None and target.hasHandlers():
        return None
    made = _OurHandler(stream)
    made.setFormatter(logging.Formatter(FORMAT))
    made.addFilter(ContextFilter())
    # Before the others, so that they get records without secrets too.
    target.handlers.insert(0, made)
    return made


class _OurHandler(logging.StreamHandler[TextIO]):
    """What `configure_logging` made."""


def _handlers(logger: logging.Logger | None) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    while logger is not None:
        found += logger.handlers
        logger = logger.parent if logger.propagate else None
    return found


def _about_the_context() -> tuple[str, str, str, str]:
    try:
        snapshot = effective()
    except PermissionDeniedException:  # it arrived without its token, which is no reason not to log
        return "", "", "", ""
    project = ",".join(snapshot.projects)
    return (
        redacted(str(snapshot.get("user") or "")),
        redacted(project),
        redacted(snapshot.trace_id),
        redacted(str(snapshot.get("session") or "")),
    )


def _redact_message(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  logging would print the arguments as they are
        message = f"{record.msg} {record.args!r}"
        record.msg, record.args = message, ()
    clean = redacted(message)
    if str(record.name).partition(".")[0] == _OURS:
        clean = in_one_line(clean)
    if clean != message:
        record.msg, record.args = clean, ()


def _redact_exception(record: logging.LogRecord) -> None:
    if record.exc_info and not record.exc_text:
        record.exc_text = _FORMATTER.formatException(record.exc_info)
    if record.exc_text:
        clean = escaped(redacted(record.exc_text))
        if clean != record.exc_text:
            # A handler that formats exceptions by itself would show what was taken out.
            record.exc_text, record.exc_info = clean, None
    if record.stack_info:
        record.stack_info = redacted(record.stack_info)


_FORMATTER: Final = logging.Formatter()
_OURS: Final = "bifrost"
