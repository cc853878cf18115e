"""What tests of signing in look at and use: sessions, codes and buttons."""

from sqlalchemy import select

from app.extensions import db
from app.models import PortalSession
from app.services import portal_codes


def sessions():
    return db.session.scalars(select(PortalSession)).all()


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06}"


def button(client):
    return f"/portal/enter/{portal_codes.button_of(client.asked())}"
