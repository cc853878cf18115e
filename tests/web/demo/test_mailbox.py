"""The demo's mailbox: there in the demo alone, with the mail as a mail program shows it."""

import dataclasses
import io

import pytest
from PIL import Image

from app.database import transaction
from app.web import demo
from app.worker import Worker
from tests import factories


@pytest.fixture
def config(config):
    return dataclasses.replace(config, demo=True, mail_from="requests@northwind.example")


@pytest.fixture
def app(app):
    app.register_blueprint(demo.bp)
    return app


def logo():
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "#a03c17").save(picture, "PNG")
    return picture.getvalue()


def test_the_mailbox_shows_a_mail_with_its_logo_in_a_frame(app, client, workspace, owner, agency):
    with transaction():
        agency.logo, agency.logo_digest = logo(), "0" * 64
    factories.make_sent(factories.make_workflow(workspace, owner, ("slack", "send_channel_message")), owner)
    Worker(app).run_once()

    page = client.get("/demo/mail")
    assert "priya.nair@harbordental.example" in page.text
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    frame = client.get(page.text.split('src="')[-1].split('"')[0])
    assert frame.status_code == 200
    assert "data:image/png;base64," in frame.text
    assert "cid:" not in frame.text
    assert frame.headers["Content-Security-Policy"] == demo.FRAME_CSP
    assert "script-src" not in demo.FRAME_CSP


def test_the_mailbox_is_empty_at_first(client, agency):
    assert "No mail yet" in client.get("/demo/mail").text
    assert client.get("/demo/mail/nothing").status_code == 404


class TestElsewhere:
    @pytest.fixture
    def config(self, config):
        return dataclasses.replace(config, demo=False)

    def test_there_is_no_mailbox_outside_the_demo(self, client, agency):
        assert client.get("/demo/mail").status_code == 404
