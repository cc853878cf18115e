"""How the tests steer a provider that runs; each call needs the token that it was started with."""

import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.models import get_access_token_model, get_application_model, get_refresh_token_model

from tests.provider import record, registry


@csrf_exempt
def steer(incoming: HttpRequest, verb: str) -> HttpResponse:
    """Carry out one of `VERBS` with the JSON object of the body as its arguments."""
    if not hmac.compare_digest(incoming.headers.get("X-Control", ""), settings.CONTROL_TOKEN):
        return HttpResponseForbidden()
    return JsonResponse({"answer": VERBS[verb](**json.loads(incoming.body))})


def register(
    *,
    client_id: str,
    client_secret: str,
    name: str,
    redirect_uris: list[str],
    scopes: dict[str, str],
    public: bool,
    pkce: bool,
) -> None:
    """Add an application, or change it."""
    model = get_application_model()
    model.objects.update_or_create(
        client_id=client_id,
        defaults={
            "client_secret": client_secret,
            "name": name,
            "redirect_uris": " ".join(redirect_uris),
            "client_type": model.CLIENT_PUBLIC if public else model.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": model.GRANT_AUTHORIZATION_CODE,
            "algorithm": model.RS256_ALGORITHM,
        },
    )
    registry.SCOPES[client_id] = scopes
    (registry.WITHOUT_PKCE.discard if pkce else registry.WITHOUT_PKCE.add)(client_id)


def add_user(*, email: str, name: str) -> str:
    """Add an account, or rename it; returns its stable id."""
    person, _ = get_user_model().objects.update_or_create(username=email, email=email, defaults={"first_name": name})
    return str(person.pk)


def calls() -> list[dict[str, Any]]:
    """Return the calls so far."""
    return record.everything()


def reset() -> None:
    """Forget calls and faults."""
    record.forget()


def misbehave(**fault: Any) -> None:
    """Add a fault."""
    with record.lock:
        record.faults.append(record.Fault(**fault))


def expire_tokens(**whose: str) -> int:
    """Let access tokens have expired; returns how many."""
    return _access(whose).update(expires=timezone.now() - timedelta(seconds=1))


def revoke_grants(**whose: str) -> int:
    """Take access away at the provider, as its user may at any time; returns how many grants."""
    grants = get_refresh_token_model().objects.filter(revoked__isnull=True, **_which(whose))
    ended = [grant.revoke() for grant in grants]
    _access(whose).delete()
    return len(ended)


def _access(whose: dict[str, str]) -> Any:
    return get_access_token_model().objects.filter(**_which(whose))


def _which(whose: dict[str, str]) -> dict[str, str]:
    fields = {"email": "user__email", "client_id": "application__client_id"}
    return {fields[name]: value for name, value in whose.items()}


VERBS: dict[str, Callable[..., Any]] = {
    verb.__name__: verb for verb in (register, add_user, calls, reset, misbehave, expire_tokens, revoke_grants)
}
