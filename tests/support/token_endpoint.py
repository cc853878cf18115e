"""A provider that counts what it issues, and lets a test do something at the very moment when it is asked.

It has no pages: a test makes up the code, whose account is the code's part before the dot.
"""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from tests.support.servers import serve_in_thread

KEY, NAME, SCOPE = "quayside", "Quayside", "boats.read"
CLIENT = (f"{KEY}-client", f"{KEY}-secret")
Moment = Literal["token", "me", "revoke"]
TOML = """
key = "quayside"
name = "Quayside"
category = "Tools"
website = "https://quayside.example"
revoke_help = "https://quayside.example/apps"

[oauth2]
authorize_url = "{url}/authorize"
token_url = "{url}/token"
rotation = true
register_url = "https://quayside.example/developers"
steps = ["Add an application and paste the redirect address."]

[oauth2.identity]
url = "{url}/me"
id = "id"
label = "email"
email = "email"

[oauth2.revoke]
url = "{url}/revoke"

[api]
base_url = "{url}"

[scopes]
"boats.read" = "See your boats"

[[actions]]
key = "find_boat"
name = "Find boat"
scopes = ["boats.read"]
"""


class TokenEndpoint:
    """What it was asked, by code: `exchanges`, and the codes whose access is `live` or `revoked`."""

    def __init__(self) -> None:
        self.url = ""
        self.exchanges: Counter[str] = Counter()
        self.issued: set[str] = set()
        self.revoked: set[str] = set()
        self._acts: dict[Moment, Callable[[], None]] = {}
        self._lock = threading.Lock()

    @property
    def live(self) -> set[str]:
        return self.issued - self.revoked

    def once(self, moment: Moment, act: Callable[[], None]) -> None:
        """Do it in the midst of the next call of that kind: before a token is issued, an account told, a grant ended."""
        self._acts[moment] = act

    def write_app(self, folder: Path) -> Path:
        """Put its app into a folder for `GATEHOUSE_APPS_DIR`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{KEY}.toml").write_text(TOML.format(url=self.url))
        return folder

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = Request(environ)
        moment: Moment = asked.path.strip("/")  # type: ignore[assignment]
        if moment == "token":
            with self._lock:
                self.exchanges[asked.form["code"]] += 1
        if act := self._acts.pop(moment, None):
            act()
        body = json.dumps(getattr(self, f"_{moment}")(asked))
        return Response(body, content_type="application/json")(environ, start_response)

    def _token(self, asked: Request) -> dict[str, object]:
        code = asked.form["code"]
        with self._lock:
            self.issued.add(code)
        tokens = {"access_token": f"access.{code}", "refresh_token": f"refresh.{code}"}
        return {**tokens, "token_type": "Bearer", "expires_in": 3600, "scope": SCOPE}

    def _me(self, asked: Request) -> dict[str, object]:
        account = asked.headers["Authorization"].removeprefix("Bearer access.").partition(".")[0]
        return {"id": account, "email": f"{account}@client.example"}

    def _revoke(self, asked: Request) -> dict[str, object]:
        with self._lock:
            self.revoked.add(asked.form["token"].partition(".")[2])
        return {}


@contextlib.contextmanager
def token_endpoint() -> Iterator[TokenEndpoint]:
    """Run one on loopback."""
    endpoint = TokenEndpoint()
    with serve_in_thread(endpoint) as served:
        endpoint.url = served.url
        yield endpoint
