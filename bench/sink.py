"""`python -m bench.sink PORT`: a mail server in a process of its own that takes every mail and keeps none."""

import asyncio
import sys
from typing import Any

from aiosmtpd.smtp import SMTP

from tests.support.processes import LOOPBACK


class Sink:
    """Says yes to every message."""

    async def handle_DATA(self, _server: SMTP, _session: Any, _envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 2.0.0 Taken"


async def serve(port: int) -> None:
    """Take mail until ended."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Sink(), hostname="localhost"), LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
