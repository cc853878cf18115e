"""Certificates for servers on loopback, from an authority that exists for one run."""

import functools
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpcore2
import pytest
import trustme


class Authority:
    """A certificate authority; `path` is its certificate as a file, for clients that are to trust it."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._leaf = self._ca.issue_cert("localhost", "127.0.0.1")
        self.path = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server named `localhost` or 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._leaf.configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context for a client that trusts this authority alone."""
        return ssl.create_default_context(cafile=self.path)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody trusts unless told to."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted_authority(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, trusted by every default TLS context made in this process meanwhile."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority


@pytest.fixture(scope="session", autouse=True)
def _system_certificates() -> Iterator[None]:
    """Load them once for all clients that take no heed of the environment: it takes longer than most requests."""
    load = httpcore2.default_ssl_context
    trusting = functools.cache(lambda: load(_trust_env=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", lambda *, _trust_env=True: load() if _trust_env else trusting())
        yield
