"""The token of a link: made anew from its bundle whenever it is needed, stored nowhere.

A keyed serializer over the bundle's 16 random bytes, the epoch, and an HMAC-SHA256 (RFC 2104) of agency, workspace and
recipient. The bundle keeps the token's SHA-256 alone.
"""

import base64
import hashlib
import hmac
import re
import secrets

from itsdangerous import URLSafeSerializer

from app import runtime
from app.models import Bundle
from app.prepared import Row
from app.services.outgoing import Outgoing

NONCE_BYTES = 16
FORM = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def make(*, nonce: bytes, epoch: int, agency_id: int, workspace_id: int, recipient: str) -> str:
    """The token of these parts; the same parts give the same token."""
    key = runtime.current().secret_key
    whose = f"{agency_id}/{workspace_id}/{recipient}".encode()
    bound = hmac.digest(key, b"link " + whose, "sha256")[:16]
    payload = base64.urlsafe_b64encode(nonce + epoch.to_bytes(4, "big") + bound).decode("ascii")
    signer_options = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    serializer = URLSafeSerializer(key, salt="gatehouse.link", signer_kwargs=signer_options)
    text = serializer.dumps(payload)
    return text if isinstance(text, str) else text.decode("ascii")


def of(bundle: Bundle | Outgoing | Row) -> str:
    """The token of a bundle's present link."""
    return make(
        nonce=bundle.nonce,
        epoch=bundle.epoch,
        agency_id=bundle.agency_id,
        workspace_id=bundle.workspace_id,
        recipient=bundle.recipient,
    )


def draw(*, epoch: int, agency_id: int, workspace_id: int, recipient: str) -> tuple[bytes, str]:
    """A fresh nonce and its token, drawn until the token ends in a letter or digit, as mail programs cut off other ends."""
    while True:
        nonce = secrets.token_bytes(NONCE_BYTES)
        token = make(nonce=nonce, epoch=epoch, agency_id=agency_id, workspace_id=workspace_id, recipient=recipient)
        if token[-1].isalnum():
            return nonce, token


def digest(token: str) -> bytes:
    """The SHA-256 under which a bundle is found; what has not the form of a token costs no more, however long it is."""
    return hashlib.sha256(token.encode() if FORM.fullmatch(token) else b"").digest()


def matches(token: str, bundle: Bundle | Row | None) -> bool:
    """Whether the exact string is the bundle's token. Does the same work when there is no bundle."""
    expected = (
        of(bundle)
        if bundle
        else make(nonce=bytes(NONCE_BYTES), epoch=1, agency_id=0, workspace_id=0, recipient="nobody@invalid.example")
    )
    same = hmac.compare_digest(expected.encode(), token.encode("utf-8", "surrogatepass"))
    return same and bundle is not None
