"""Logs as JSON lines on standard error, with the request's id where there is one."""

import logging
import re
import sys
from typing import Any

import structlog

LINK = re.compile(
    r"(/l/|/portal/enter/)[^\s\"'?#\\]+|(?<![\w-])[\w-]{60,}\.[\w-]{43}(?![\w-])"
)  # in an address, or by itself
SERVERS = ("waitress", "gunicorn.error", "gunicorn.access")  # they may name the address that they were serving


def masked(text: str) -> str:
    """A text without the tokens of links: a link is a capability, and a log is read by others."""
    return LINK.sub(r"\1…", text)


class WithoutLinks(logging.Filter):
    """Takes the tokens of links out of every message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, rewritten where it names a link."""
        text = record.getMessage() if not isinstance(record.msg, dict) else ""
        if (said := masked(text)) != text:
            record.msg, record.args = said, None
        return True


def _mask_line(_logger: object, _method: str, line: Any) -> Any:
    """The last word on a line: what an error quotes stands in its traceback, not in its message."""
    return masked(line) if isinstance(line, str) else line


def configure_logging(level: int = logging.INFO) -> None:
    """Send our own and the libraries' logs through one JSON formatter; safe to call again."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
            _mask_line,
        ],
    )
    root = logging.getLogger()
    if any(getattr(handler, "gatehouse", False) for handler in root.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(WithoutLinks())
    for name in SERVERS:
        logging.getLogger(name).addFilter(WithoutLinks())
    handler.gatehouse = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level)
