"""Starts the independent OAuth server and steers it: applications, people, what it was asked, how it misbehaves."""

import contextlib
import json
import secrets
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tests.support.processes import LOOPBACK, environment, free_port
from tests.support.servers import serve_process

Endpoint = Literal["authorize", "token", "revoke", "introspect", "userinfo", "api", "start"]
_straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Person:
    """An account at the provider; `id` is the stable one."""

    id: str
    email: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call that the provider answered; `client_auth` is basic, post, bearer or none, `parameters` are names only."""

    endpoint: str
    method: str
    path: str
    client_id: str
    grant_type: str
    client_auth: str
    parameters: tuple[str, ...]
    status: int


@dataclass(frozen=True)
class Provider:
    """A running provider. Browsers and clients find it at `base_url`, and its other origin at `other_url`."""

    base_url: str
    other_url: str
    people: Mapping[str, Person]
    _token: str

    @property
    def authorize_url(self) -> str:
        return f"{self.base_url}/o/authorize/"

    @property
    def start_url(self) -> str:
        """The authorize address at the other origin, which redirects to `authorize_url`."""
        return f"{self.other_url}/start"

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/o/token/"

    @property
    def revoke_url(self) -> str:
        """Revocation after RFC 7009."""
        return f"{self.base_url}/o/revoke_token/"

    @property
    def introspect_url(self) -> str:
        """Introspection after RFC 7662."""
        return f"{self.base_url}/o/introspect/"

    @property
    def userinfo_url(self) -> str:
        """OpenID Connect's userinfo; wants the scope `openid`."""
        return f"{self.base_url}/o/userinfo/"

    @property
    def api_url(self) -> str:
        """An API that names the account of any valid token: `id`, `email`, `name`, `scopes`, `client_id`."""
        return f"{self.base_url}/api/me"

    @property
    def issuer(self) -> str:
        return f"{self.base_url}/o"

    @property
    def discovery_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def register(
        self,
        client_id: str,
        client_secret: str,
        redirect_uris: Sequence[str],
        *,
        scopes: Mapping[str, str],
        name: str = "",
        public: bool = False,
        pkce: bool = True,
    ) -> None:
        """Add an application or change it; `scopes` maps each scope it may ask for to its label on the screen."""
        self._steer(
            "register",
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=list(redirect_uris),
            scopes=dict(scopes),
            name=name or client_id,
            public=public,
            pkce=pkce,
        )

    def call_api(self, access_token: str) -> tuple[int, dict[str, Any]]:
        """Call the API as a holder of the token would; returns status and answer."""
        call = urllib.request.Request(self.api_url, headers={"Authorization": f"Bearer {access_token}"})
        try:
            with _straight.open(call, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def calls(self, endpoint: Endpoint | None = None, client_id: str | None = None) -> list[Call]:
        """Return what was answered since `reset`, in order."""
        every = (Call(**{**call, "parameters": tuple(call["parameters"])}) for call in self._steer("calls"))
        return [c for c in every if endpoint in {None, c.endpoint} and client_id in {None, c.client_id}]

    def count(self) -> Counter[str]:
        """Count the calls by endpoint; those of the token endpoint by grant type, as `token.refresh_token`."""
        return Counter(f"token.{c.grant_type}" if c.endpoint == "token" else c.endpoint for c in self.calls())

    def misbehave(
        self,
        endpoint: Endpoint,
        *,
        status: int = 500,
        body: str = "",
        content_type: str = "text/plain",
        delay: float = 0,
        after: bool = False,
        times: int = -1,
    ) -> None:
        """Answer so instead, `times` times or until `reset`; `after` does the work first and spoils only the answer.

        With status 0 the true answer comes, `delay` seconds late.
        """
        self._steer(
            "misbehave",
            endpoint=endpoint,
            status=status,
            body=body,
            content_type=content_type,
            delay=delay,
            after=after,
            left=times,
        )

    def expire_tokens(self, **whose: str) -> int:
        """Let access tokens have expired: all, or those of `email=` or `client_id=`; returns how many."""
        return int(self._steer("expire_tokens", **whose))

    def revoke_grants(self, **whose: str) -> int:
        """Take access away at the provider, all or of `email=` or `client_id=`; returns how many grants."""
        return int(self._steer("revoke_grants", **whose))

    def reset(self) -> None:
        """Forget calls and faults; applications, people and grants stay."""
        self._steer("reset")

    def _steer(self, verb: str, **arguments: Any) -> Any:
        call = urllib.request.Request(
            f"{self.base_url}/control/{verb}", json.dumps(arguments).encode(), {"X-Control": self._token}
        )
        with _straight.open(call, timeout=30) as response:
            return json.load(response)["answer"]


PEOPLE = {"ann": "Ann Archer", "ben": "Ben Baker", "cleo": "Cleo Carter"}


@contextlib.contextmanager
def provider_process(*, access_seconds: int = 3600) -> Iterator[Provider]:
    """Run a provider with three people: ann, ben and cleo, each @client.example."""
    port, other = free_port(), free_port()
    token = secrets.token_urlsafe()
    base = f"http://{LOOPBACK}:{port}"
    options = [f"--port={port}", f"--other-port={other}", f"--access-seconds={access_seconds}"]
    with (
        tempfile.TemporaryDirectory(prefix="gatehouse-provider-") as folder,
        serve_process(
            [sys.executable, "-W", "error", "-m", "tests.provider", f"--folder={folder}", *options],
            url=f"{base}/login/",
            env=environment(PROVIDER_CONTROL_TOKEN=token),
        ),
    ):
        provider = Provider(base, f"http://localhost:{other}", {}, token)
        people = {key: _seed(provider, key, name) for key, name in PEOPLE.items()}
        yield Provider(provider.base_url, provider.other_url, people, token)


def _seed(provider: Provider, key: str, name: str) -> Person:
    email = f"{key}@client.example"
    return Person(provider._steer("add_user", email=email, name=name), email, name)


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with provider_process() as running:
        yield running


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """The independent OAuth server, one for the whole run, with no calls and no faults remembered."""
    _provider.reset()
    return _provider
