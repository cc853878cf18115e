"""What an agency's pages and mails load of its looks: public, and kept for ever, as a change has another address."""

from flask import Blueprint, Response

from app.services import branding

bp = Blueprint("brand", __name__, url_prefix="/brand")
FOR_EVER = "public, max-age=31536000, immutable"


@bp.get("/<string(length=16):name>.css")
def show_sheet(name: str) -> Response:
    headers = {"Cache-Control": FOR_EVER}
    return Response(branding.sheet_of(name), content_type="text/css; charset=utf-8", headers=headers)


@bp.get("/<string(length=64):digest>.png")
def show_logo(digest: str) -> Response:
    headers = {"Cache-Control": FOR_EVER, "Cross-Origin-Resource-Policy": "cross-origin"}  # mails show it elsewhere
    return Response(branding.logo_of(digest), content_type="image/png", headers=headers)
