from flask import g, render_template
from flask.typing import ResponseReturnValue

from app.web.look import brand_of
from app.web.portal import bp


@bp.get("/connections")
def show_connections() -> ResponseReturnValue:
    return _closed()


@bp.get("/connections/workflows/<workflow_id>")
def show_workflow(workflow_id: str) -> ResponseReturnValue:
    del workflow_id
    return _closed()


def _closed() -> ResponseReturnValue:
    return render_template("portal/closed/show.html", brand=brand_of(g.agency))
