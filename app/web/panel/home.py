from typing import Any

from flask import g, render_template, request
from flask.typing import ResponseReturnValue

from app.services import (
    attention,
    broken_connections,
    deliveries,
    hand_over_asks,
    overview,
    stuck_requests,
    undelivered_letters,
    undelivered_mail,
    workspaces,
)
from app.web.panel import bp
from app.web.panel.navigation import needing_attention

FEW = 10  # workspaces on the home page


@bp.get("/")
def show_home() -> ResponseReturnValue:
    counts = needing_attention()
    return render_template(
        "panel/home/index.html",
        counts=counts,
        attention=attention.first_few(g.agency, counts),
        awaited=overview.awaited(g.agency),
        standings=overview.of(workspaces.page(g.agency, size=FEW).items),
        workspaces_count=overview.count(g.agency),
        mail_is_set_up=deliveries.mail_is_set_up(),
    )


@bp.get("/attention/connections")
def show_broken() -> ResponseReturnValue:
    page = broken_connections.page(g.agency, **_place())
    return render_template("panel/home/broken.html", page=page)


@bp.get("/attention/requests")
def show_stuck() -> ResponseReturnValue:
    page = stuck_requests.page(g.agency, **_place())
    return render_template("panel/home/stuck.html", page=page)


@bp.get("/attention/mail")
def show_undelivered() -> ResponseReturnValue:
    return render_template(
        "panel/home/undelivered.html",
        page=undelivered_mail.page(g.agency, **_place()),
        notices=undelivered_letters.notice_page(g.agency, **_place("notices-")),
        invitations=undelivered_letters.invitation_page(g.agency, **_place("invitations-")),
    )


@bp.get("/attention/hand-overs")
def show_hand_overs() -> ResponseReturnValue:
    page = hand_over_asks.page(g.agency, **_place())
    return render_template("panel/home/hand_overs.html", page=page)


def _place(which: str = "") -> dict[str, Any]:
    """Which page of a list is asked for."""
    return {name: request.args.get(f"{which}{name}") for name in ("after", "before")}
