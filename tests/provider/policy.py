"""What this provider decides for itself: which scopes an application may ask for, and what it tells of a person."""

from collections.abc import Callable
from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.scopes import BaseScopes

from tests.provider.registry import SCOPES


class Scopes(BaseScopes):
    """Each application has scopes of its own."""

    def get_all_scopes(self) -> dict[str, str]:
        return {name: label for scopes in SCOPES.values() for name, label in scopes.items()}

    def get_available_scopes(self, application: Any = None, *_: Any, **__: Any) -> list[str]:
        if application is None:
            return list(self.get_all_scopes())
        return [*SCOPES.get(application.client_id, {}), *SCOPES[""]]

    def get_default_scopes(self, application: Any = None, *_: Any, **__: Any) -> list[str]:
        return []


class Validator(OAuth2Validator):
    """Adds a person's e-mail and name to the claims of id_token and userinfo."""

    oidc_claim_scope = None

    def get_additional_claims(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "email": lambda asked: asked.user.email,
            "email_verified": lambda _: True,
            "name": lambda asked: asked.user.first_name,
        }
