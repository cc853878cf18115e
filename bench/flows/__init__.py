"""Connect flows, from the link to the status page, beside the same flow written as plain Flask and with Flask-Dance.

A flow is five requests (link, page, start, callback, page) and one call to the provider's token address, which names the
account; the consent screen in between is left out. All sites are served alike: gunicorn, two processes of 32 threads, on
PostgreSQL, by the same visitors, in turns, so that whatever else the machine does meets all of them. A site has both cores
together with its database, the provider and the visitors.
"""

from collections.abc import Iterator

from bench.figure import Figure

TITLE = "Connect flows"


def measure() -> Iterator[Figure]:
    """Measure beside the others, then with a provider that takes its time, then what the processes hold."""
    from bench.flows import measuring  # late: the sites that are written otherwise must hold nothing of Gatehouse

    yield from measuring.measure()
