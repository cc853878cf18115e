"""Causes: why a connection does not work, or could not be refreshed, in words of ours."""

from app.i18n import _
from app.oauth.faults import Fault

KEY_LOST = "key_lost"  # what it was sealed with is gone for good
INTERRUPTED = "interrupted"  # a process died while the provider may have exchanged the refresh token


def words(cause: str | None, app: str) -> str:
    """What a cause means, for a person; one that is not known is told like a refusal without a reason."""
    known: dict[str, str] = {
        Fault.DENIED: _("The owner said no in %(app)s.", app=app),
        Fault.GRANT_ENDED: _("Access was removed or ran out in %(app)s.", app=app),
        Fault.CREDENTIAL: _("%(app)s no longer accepts the access that was given.", app=app),
        Fault.MISCONFIGURED: _("%(app)s no longer accepts the client that is set up for it.", app=app),
        Fault.LIMITED: _("%(app)s was asked too often.", app=app),
        Fault.UNAVAILABLE: _("%(app)s does not answer.", app=app),
        Fault.GARBAGE: _("%(app)s gives answers that can't be understood.", app=app),
        Fault.MISMATCH: _("%(app)s answers for another account than the one that was connected.", app=app),
        Fault.REFUSED: _("%(app)s refuses it for now.", app=app),
        Fault.ERROR: _("%(app)s refuses it and gives no reason.", app=app),
        KEY_LOST: _("The key that the access was locked up with is lost, so that nobody can use it any more."),
        INTERRUPTED: _("Renewing the access to %(app)s was interrupted, and what came of it is not known.", app=app),
    }
    return known.get(cause or Fault.ERROR, known[Fault.ERROR])
