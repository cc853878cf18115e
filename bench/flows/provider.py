"""An app's token address, as lean as can be: `python -m bench.flows.provider <port> <milliseconds it takes to answer>`.

It keeps nothing. A code names the account and the PKCE challenge that it was asked with; the tokens are drawn from the
account's name, so that whoever knows the account can tell what was issued for it.
"""

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import sys
from urllib.parse import parse_qsl

KEY = b"what this provider signs with"
CLIENT_ID, CLIENT_SECRET = "gatehouse-bench", "a client's secret"
SCOPES = "files:read files:write"


def code_for(account: str, challenge: str) -> str:
    """What the consent screen would send the browser back with."""
    return f"{account}~{challenge}"


def token_for(account: str, kind: str) -> str:
    """The token of an account: `kind` is access or refresh."""
    return f"{kind}-{hmac.new(KEY, f'{kind} {account}'.encode(), 'sha256').hexdigest()}"


def answer(form: dict[str, str]) -> tuple[int, dict[str, object]]:
    """What the token address says: the client, the grant and the verifier must be right (RFC 6749 4.1.3, RFC 7636 4.6)."""
    account, _, challenge = form.get("code", "").partition("~")
    proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
    if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
        return 401, {"error": "invalid_client"}
    if form.get("grant_type") != "authorization_code" or not account or proof.decode() != challenge:
        return 400, {"error": "invalid_grant"}
    return 200, {
        "access_token": token_for(account, "access"),
        "refresh_token": token_for(account, "refresh"),
        "token_type": "bearer",
        "expires_in": 3600,
        "scope": SCOPES,
        "account": {"id": account, "email": f"{account}@client.example"},
    }


class Token(asyncio.Protocol):
    """One connection, kept open as long as the other side wants it."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, blank, body = self.seen.partition(b"\r\n\r\n")
        if not blank:
            return
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        if len(body) < length:
            return
        self.seen = body[length:]
        asyncio.get_running_loop().call_later(self.wait, self.say, *answer(dict(parse_qsl(body[:length].decode()))))

    def say(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)


async def serve(port: int, wait: float) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(functools.partial(Token, wait), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
