"""Certificates: of the name that was asked for, by an authority that is trusted."""

import pytest

from app.egress import Egress, EgressFailed
from tests.egress.conftest import LOOPBACK, trusting


def test_request_verifies_the_certificate_for_the_name_asked(authority, tls_server):
    guarded = trusting(authority)

    assert guarded.request("GET", f"https://provider.example:{tls_server.port}/").body == b"ok"
    assert tls_server.names == ["provider.example"]


def test_request_fails_for_a_certificate_of_another_name(authority, tls_server):
    with pytest.raises(EgressFailed) as failure:
        trusting(authority).request("GET", f"https://other.example:{tls_server.port}/")

    assert failure.value.reason == "tls"


def test_request_fails_for_an_unknown_authority(tls_server):
    guarded = Egress(LOOPBACK, resolver=lambda _host, _port: ["127.0.0.1"])

    with pytest.raises(EgressFailed) as failure:
        guarded.request("GET", f"https://provider.example:{tls_server.port}/")

    assert failure.value.reason == "tls"
