"""People who follow their links: `python -m bench.flows.visitors`, told on standard input what to do, round by round.

Each has a browser of its own (an address, a connection, cookies) and goes link, page, start, callback, page; the
consent screen in between is left out. The status page at the end must name the account that was connected.
"""

import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.flows.provider import code_for

FORM = re.compile(r'<form method="(get|post)" action="([^"]+/start)"')
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
)


class Failed(Exception):
    """A step that did not answer as it should."""


class Browser:
    """One visitor's: a connection that is kept open, and what cookies were set."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self.host, self.cookies = f"{host}:{port}", dict[str, str]()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(address, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        """Send a request and read the answer whole."""
        body = urlencode(form).encode() if form is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{HEADERS}"
        if self.cookies:
            head += f"Cookie: {'; '.join(f'{name}={value}' for name, value in self.cookies.items())}\r\n"
        if method == "POST":
            head += f"HX-Request: true\r\nSec-Fetch-Site: same-origin\r\nOrigin: http://{self.host}\r\n"
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(f"{head}\r\n".encode() + body)
        return self._read()

    def _read(self) -> tuple[int, dict[str, str], str]:
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += self._more()
        head, _, body = seen.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        for value in (value for name, value in pairs if name == "set-cookie"):
            name, _, text = value.partition(";")[0].partition("=")
            self.cookies[name] = text
        headers = dict(pairs)
        while len(body) < int(headers.get("content-length", "0")):
            body += self._more()
        return int(first.split()[1]), headers, body.decode()

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise Failed("The server hung up.")
        return data

    def close(self) -> None:
        self.socket.close()


def connect(browser: Browser, link: str, account: str) -> float:
    """Go through one flow; returns how long the callback took. Raises Failed with the step that went wrong."""
    status, headers, _ = browser.ask("GET", link)
    page = _path(headers, status, "link")
    status, _, html = browser.ask("GET", page)
    form, token = FORM.search(html), CSRF.search(html)
    if status != 200 or form is None:
        raise Failed(f"page: {status}")
    given = {"csrf_token": token[1]} if token else {}
    status, headers, _ = browser.ask(form[1].upper(), form[2], given if form[1] == "post" else None)
    away = headers.get("hx-redirect") or headers.get("location")
    if status not in (200, 302, 303) or not away:
        raise Failed(f"start: {status}")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away).query).items()}
    if not {"code_challenge", "state", "redirect_uri"} <= asked.keys():
        raise Failed("start: an address that asks for nothing")
    back = urlencode({"code": code_for(account, asked["code_challenge"]), "state": asked["state"]})
    began = time.perf_counter()
    status, headers, _ = browser.ask("GET", f"{urlsplit(asked['redirect_uri']).path}?{back}")
    took = time.perf_counter() - began
    page = _path(headers, status, "callback")
    status, _, html = browser.ask("GET", page)
    if status != 200 or f"{account}@client.example" not in html:
        raise Failed(f"status page: {status}")
    return took


def _path(headers: dict[str, str], status: int, step: str) -> str:
    if status not in (302, 303) or "location" not in headers:
        raise Failed(f"{step}: {status}")
    return urlsplit(headers["location"]).path


def crowd(host: str, port: int, todo: Iterator[tuple[str, str]], clients: int, first_address: int) -> dict[str, object]:
    """Have so many go at once until all links are used up; each link is opened from an address of its own."""
    numbers, lock = itertools.count(first_address), threading.Lock()
    flows: list[float] = []
    callbacks: list[float] = []
    failures: list[str] = []

    def visit() -> None:
        while True:
            with lock:
                link, account = next(todo, ("", ""))
                number = next(numbers)
            if not link:
                return
            began = time.perf_counter()
            browser = None
            try:
                browser = Browser(host, port, f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}")
                callbacks.append(connect(browser, link, account))
                flows.append(time.perf_counter() - began)
            except (Failed, OSError) as error:
                failures.append(str(error))
            finally:
                if browser:
                    browser.close()

    threads = [threading.Thread(target=visit) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - began, "flows": flows, "callbacks": callbacks, "failures": failures}


if __name__ == "__main__":
    for line in sys.stdin:
        round_ = json.loads(line)
        links = [(link, account) for link, account in round_["links"]]
        told = crowd(round_["host"], round_["port"], iter(links), round_["clients"], round_["first_address"])
        print(json.dumps(told), flush=True)
