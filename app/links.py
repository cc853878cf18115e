"""Absolute addresses of this installation, made from the configured base URL alone."""

from app import runtime


def absolute(path: str) -> str:
    """The address of a path."""
    return runtime.current().config.base_url + path


def intake_url(token: str) -> str:
    """The address that opens a bundle without signing in."""
    return absolute(f"/l/{token}")


def portal_url(agency_slug: str, *, workflow_id: str | None = None) -> str:
    """Where a client signs in to an agency's portal, which then shows what they are asked for: of one workflow, if named."""
    to = f"?to=show_workflow.{workflow_id}" if workflow_id else ""
    return absolute(f"/portal/login/{agency_slug}{to}")


def button_url(button: str, to: str | None) -> str:
    """The address of the button in the e-mail that somebody signs in with; `to` is the key of the page that they came for."""
    return absolute(f"/portal/enter/{button}" + (f"?to={to}" if to else ""))


def panel_url() -> str:
    """Where staff see what needs attention; it asks them to sign in."""
    return absolute("/panel/")
