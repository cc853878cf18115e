"""An app's token address that refreshes whatever it is given, as lean as can be: `python -m bench.refresher <port> <milliseconds>`.

It keeps nothing but a count, which `count` in the form asks for.
"""

import asyncio
import contextlib
import functools
import itertools
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from bench.flows.provider import Token
from tests.support.processes import LOOPBACK, free_port
from tests.support.servers import serve_process
from tests.support.token_endpoint import KEY, SCOPE, TOML


class Refresher(Token):
    """One connection; the numbers are the process's."""

    numbers = itertools.count(1)
    count = 0

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, blank, body = self.seen.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        if not blank or len(body) < length:
            return
        self.seen = body[length:]
        if b"refresh_token" not in body:
            self.say(200, {"count": Refresher.count})
            return
        Refresher.count += 1
        number = next(self.numbers)
        token = parse_qs(body.decode())["refresh_token"][0].partition(".")[0]
        told: dict[str, object] = {"access_token": f"access.{number}", "refresh_token": f"{token}.{number}"}
        told |= {"token_type": "bearer", "expires_in": 3600, "scope": SCOPE}
        asyncio.get_running_loop().call_later(self.wait, self.say, 200, told)


@dataclass(frozen=True)
class Running:
    """Where it is."""

    url: str

    @property
    def count(self) -> int:
        """How many refreshes it was asked for."""
        with urllib.request.urlopen(f"{self.url}/count", data=b"count=1", timeout=10) as answer:
            return int(answer.read().split(b":")[1].strip(b" }"))

    def apps(self, folder: Path) -> Path:
        """A folder with the one app that it stands behind."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{KEY}.toml").write_text(TOML.format(url=self.url))
        return folder


@contextlib.contextmanager
def refresher(milliseconds: int) -> Iterator[Running]:
    """Run one that takes so long for each answer."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    command: list[str | Path] = [sys.executable, "-m", "bench.refresher", str(port), str(milliseconds)]
    with serve_process(command, url=url):
        yield Running(url)


async def _serve(port: int, wait: float) -> None:
    server = await asyncio.get_running_loop().create_server(functools.partial(Refresher, wait), LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
