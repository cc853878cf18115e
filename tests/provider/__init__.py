"""An OAuth 2 and OpenID Connect server that is not ours: django-oauth-toolkit in a process of its own."""
