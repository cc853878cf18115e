"""Compresses client pages, which have a budget on the wire.

No other pages: those that show secrets beside what somebody else may have sent must not tell it by their length.
Another site's request carries the client's cookie only where it sends the whole window there (SameSite): pages of the portal are
compressed only if their address has no query, and no compressed page repeats what somebody made up in its path.
"""

import gzip

import brotli  # type: ignore[import-untyped]
from flask import Flask, Response, request

from app.web.sessions import Surface, surface_of

SMALLEST = 1500


def compress(response: Response) -> Response:
    """Compress a client page for a browser that says it can read that."""
    if response.mimetype != "text/html" or not _repeats_nothing():
        return response
    if response.direct_passthrough or response.status_code not in (200, 422) or len(response.get_data()) < SMALLEST:
        return response
    response.vary.add("Accept-Encoding")
    best = request.accept_encodings.best_match(["br", "gzip"])
    if best == "br":
        response.set_data(brotli.compress(response.get_data(), quality=5))
    elif best == "gzip":
        response.set_data(gzip.compress(response.get_data(), 6, mtime=0))
    else:
        return response
    response.headers["Content-Encoding"] = best
    return response


def _repeats_nothing() -> bool:
    surface = surface_of(request.path)
    return surface is Surface.INTAKE or (surface is Surface.PORTAL and not request.query_string)


def register_compression(app: Flask) -> None:
    """Compress what client pages answer."""
    app.after_request(compress)
