"""A provider that says and does whatever it is told, on real sockets, with apps of the catalog at its addresses."""

import contextlib
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.processes import LOOPBACK, free_port

CANARY = "Qz7canary"
TRAP = "/trap"  # where redirects lead
SIGNING = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
Script = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Call:
    """What somebody asked of it."""

    method: str
    path: str
    form: dict[str, str]


def say(status: int, body: bytes | str | dict | list = b"", kind: str = "application/json", **headers: str) -> Script:
    """An ordinary answer."""
    content = (
        json.dumps(body).encode()
        if isinstance(body, dict | list)
        else body
        if isinstance(body, bytes)
        else body.encode()
    )
    lines = [
        f"HTTP/1.1 {status} {CANARY}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        "Connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content)


def raw(text: bytes) -> Script:
    """These very bytes."""
    return lambda talk: talk.sendall(text)


def hang(talk: socket.socket) -> None:
    """Wait until the other side has had enough."""
    talk.settimeout(60)
    talk.recv(1)


def trickle(first: bytes) -> Script:
    """Begin, then send a byte now and then."""

    def script(talk: socket.socket) -> None:
        talk.sendall(first)
        while True:
            time.sleep(0.05)
            talk.sendall(b"x")

    return script


def slow(seconds: float, then: Script) -> Script:
    """Answer after a while."""

    def script(talk: socket.socket) -> None:
        time.sleep(seconds)
        then(talk)

    return script


def endless(talk: socket.socket) -> None:
    """A body that never ends, as fast as it can."""
    talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"access_token": "')
    for _ in range(2000):
        talk.sendall(b"y" * 65536)


def zipped(size: int) -> Script:
    """JSON that is small on the wire and `size` bytes when it is unzipped."""
    packed = gzip.compress(b'{"access_token": "' + b"a" * size + b'"}', 9)
    return say(200, packed, Content_Encoding="gzip")


@dataclass
class Rogue:
    """The running provider; `answers` say what each path does, anew for each test."""

    port: int
    tls_port: int
    closed_port: int = field(default_factory=free_port)
    answers: dict[str, Script] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    nonce: str = ""
    client: str = ""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def trap_url(self) -> str:
        return f"{self.url}{TRAP}"

    def behave(self) -> None:
        """Answer everything as a good provider would."""
        self.calls.clear()
        self.answers = {
            "/token": say(
                200, {"access_token": "a-token", "refresh_token": "r-token", "scope": "chat.read chat.write"}
            ),
            "/oidc/token": self._signed,
            "/me": say(200, {"id": "77", "email": "ann@client.example"}),
            "/revoke": say(200, {}),
            "/oidc/.well-known/openid-configuration": say(200, self.metadata()),
            "/oidc/jwks": say(200, {"keys": [SIGNING.as_dict(private=False)]}),
            TRAP: say(200, {"access_token": CANARY, "id": CANARY}),
        }

    def _signed(self, talk: socket.socket) -> None:
        say(200, {"access_token": "a-token", "id_token": self.id_token()})(talk)

    def metadata(self) -> dict[str, str]:
        base = f"{self.url}/oidc"
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return {"issuer": base} | {name: f"{base}/{path}" for name, path in places.items()}

    def id_token(self, **changes: Any) -> str:
        """A token for the flow at hand."""
        now = int(time.time())
        said = {
            "iss": f"{self.url}/oidc",
            "sub": "77",
            "aud": self.client,
            "nonce": self.nonce,
            "iat": now,
            "exp": now + 600,
        }
        return jwt.encode({"alg": "RS256", "kid": "one"}, {**said, "email": "ann@client.example", **changes}, SIGNING)

    def asked(self, path: str) -> int:
        return sum(call.path == path for call in self.calls)


@contextlib.contextmanager
def rogue_provider(context: ssl.SSLContext) -> Iterator[Rogue]:
    """Run it, in plain and (at another port) in TLS."""
    with socket.create_server((LOOPBACK, 0)) as plain, socket.create_server((LOOPBACK, 0)) as secure:
        rogue = Rogue(plain.getsockname()[1], secure.getsockname()[1])
        rogue.behave()
        threads = [
            threading.Thread(target=_accept, args=(rogue, listener, tls), daemon=True)
            for listener, tls in ((plain, None), (secure, context))
        ]
        for thread in threads:
            thread.start()
        try:
            yield rogue
        finally:
            for listener in (plain, secure):
                listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def _accept(rogue: Rogue, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            talk, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(rogue, talk, tls), daemon=True).start()


def _talk(rogue: Rogue, talk: socket.socket, tls: ssl.SSLContext | None) -> None:
    with talk, contextlib.suppress(OSError, ValueError):  # ValueError: TLS where none is spoken
        talk.settimeout(30)
        with tls.wrap_socket(talk, server_side=True) if tls else talk as wire:
            call = _read(wire)
            rogue.calls.append(call)
            rogue.answers.get(call.path, say(404))(wire)


def _read(talk: socket.socket) -> Call:
    with talk.makefile("rb") as lines:
        method, target, _ = lines.readline().decode().split()
        length = 0
        while (line := lines.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = lines.read(length)
    return Call(method, target.partition("?")[0], dict(parse_qsl(body.decode())))


# ── Apps at its addresses ───────────────────────────────────────────────────

APP = """
key = "{key}"
name = "{name}"
category = "Support"
website = "https://{key}.example"
revoke_help = "https://{key}.example/apps"

[oauth2]
{ways}
register_url = "https://{key}.example/developers"
steps = ["Add an application.", "Copy the client ID."]

[oauth2.identity]
{identity}

[oauth2.revoke]
url = "{revoke}"

[api]
base_url = "{base}"

[scopes]
{scopes}

[[actions]]
key = "act"
name = "Act"
scopes = {needs}
"""
SCOPES = {"chat.read": "Read your chats", "chat.write": "Write in your name"}


def plain_app(rogue: Rogue, key: str, *, token: str = "", me: str = "", revoke: str = "") -> str:
    """An app of regular OAuth; the addresses given take the place of good ones."""
    ways = f'authorize_url = "{rogue.url}/authorize"\ntoken_url = "{token or rogue.url + "/token"}"'
    identity = f'url = "{me or rogue.url + "/me"}"\nid = "id"\nlabel = "email"\nemail = "email"'
    return _app(rogue, key, ways, identity, revoke or f"{rogue.url}/revoke")


def oidc_app(rogue: Rogue, key: str, *, discovery: str = "") -> str:
    """An app found by OpenID discovery and read from its id_token."""
    address = discovery or f"{rogue.url}/oidc/.well-known/openid-configuration"
    ways = f'discovery_url = "{address}"\ndefault_scopes = ["openid"]\nnonce = true'
    return _app(rogue, key, ways, 'source = "id_token"\nid = "sub"\nlabel = "email"', f"{rogue.url}/revoke")


def _app(rogue: Rogue, key: str, ways: str, identity: str, revoke: str) -> str:
    scopes = "\n".join(f'"{scope}" = "{label}"' for scope, label in (SCOPES | {"openid": "Know the account"}).items())
    name = key.replace("-", " ").capitalize()
    parts = {"ways": ways, "identity": identity, "revoke": revoke, "base": rogue.url, "scopes": scopes}
    return APP.format(key=key, name=name, needs=json.dumps(list(SCOPES)), **parts)
