"""Logs as JSON lines on standard error, with the request's id where there is one."""

import logging
import re
import sys

import structlog

LINK = re.compile(r"/l/[^\s\"'?#]+")
SERVERS = ("waitress", "gunicorn.error", "gunicorn.access")  # they may name the address that they were serving


class WithoutLinks(logging.Filter):
    """Takes the tokens of links out of every line: a link is a capability, and a log is read by others."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, rewritten where it names a link."""
        text = record.getMessage() if not isinstance(record.msg, dict) else ""
        if "/l/" in text:
            record.msg, record.args = LINK.sub("/l/…", text), None
        return True


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
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
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
