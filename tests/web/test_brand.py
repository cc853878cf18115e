import pytest

from app.services import branding
from tests.services.test_logos import picture
from tests.support.shared_app import *  # noqa: F403

FOR_EVER = "public, max-age=31536000, immutable"


def test_the_sheet_is_public_and_kept_for_ever(client, agency):
    answer = client.get(branding.sheet_url(agency))

    assert (answer.status_code, answer.content_type) == (200, "text/css; charset=utf-8")
    assert answer.text == branding.sheet(agency.accent)
    assert answer.headers["Cache-Control"] == FOR_EVER
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


def test_the_logo_is_public_and_may_be_shown_in_mail(client, agency, owner):
    given = {key: getattr(agency, key) for key in ("name", "sender_name", "support_email", "accent", "timezone")}
    branding.save(agency, **given, logo=picture("WEBP"), by=owner)
    answer = client.get(branding.logo_url(agency))

    assert (answer.status_code, answer.content_type, answer.data[:4]) == (200, "image/png", b"\x89PNG")
    assert answer.headers["Cache-Control"] == FOR_EVER
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/brand/a03c170000000000.css", "/brand/x.css", f"/brand/{'0' * 64}.png", f"/brand/{'%00' * 64}.png", "/brand/"],
)
def test_what_was_never_made_is_not_there_and_not_kept(client, agency, path):
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"
