"""What was registered with this provider beyond django-oauth-toolkit's own tables; a process lives for one test run."""

# Scopes and their labels by client id; the empty name is everybody's.
SCOPES: dict[str, dict[str, str]] = {"": {"openid": "Know who you are", "introspection": "Look into tokens"}}
WITHOUT_PKCE: set[str] = set()


def pkce_required(client_id: str) -> bool:
    """Tell whether a client must bring a code challenge (RFC 7636): each does unless it was registered otherwise."""
    return client_id not in WITHOUT_PKCE
