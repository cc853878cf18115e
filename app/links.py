"""Absolute addresses of this installation, made from the configured base URL alone."""

from app import runtime


def absolute(path: str) -> str:
    """The address of a path."""
    return runtime.current().config.base_url + path


def intake_url(token: str) -> str:
    """The address that opens a bundle without signing in."""
    return absolute(f"/l/{token}")


def portal_url() -> str:
    """Where a member sees what they are asked for; it asks them to sign in."""
    return absolute("/portal/connections")
