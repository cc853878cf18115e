"""The pages and calls that django-oauth-toolkit leaves to its users: sign-in, consent in part, an API."""

from typing import Any

from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods
from oauth2_provider.forms import AllowForm
from oauth2_provider.oauth2_backends import get_oauthlib_core
from oauth2_provider.views import AuthorizationView

from tests.provider import policy


class ConsentView(AuthorizationView):
    """Consent with a tick per requested scope: what is left unticked is not granted."""

    template_name = "consent.html"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        labels = policy.Scopes().get_all_scopes()
        # On an error page there is nothing to tick.
        ticks = [(scope, labels[scope]) for scope in self.oauth2_data.get("scopes", [])]
        return super().get_context_data(ticks=ticks, **context)

    def form_valid(self, form: AllowForm) -> HttpResponse:
        asked = form.cleaned_data["scope"].split()
        granted = [scope for scope in asked if scope in self.request.POST.getlist("grant")]
        form.cleaned_data["scope"] = " ".join(granted)
        form.cleaned_data["allow"] = form.cleaned_data["allow"] and bool(granted)
        return super().form_valid(form)


@require_http_methods(["GET", "POST"])
def sign_in(incoming: HttpRequest) -> HttpResponse:
    """Let anybody be any user: it is the accounts that matter here, not how one proves to own one."""
    onwards = _onwards(incoming)
    if incoming.method == "POST":
        person = get_object_or_404(get_user_model(), email=incoming.POST.get("email", ""))
        login(incoming, person)
        return HttpResponseRedirect(onwards)
    people = get_user_model().objects.order_by("pk")
    return render(incoming, "sign_in.html", {"people": people, "next": onwards})


@require_GET
def sign_out(incoming: HttpRequest) -> HttpResponse:
    """Forget who is signed in, to choose another account."""
    onwards = _onwards(incoming)
    logout(incoming)
    return HttpResponseRedirect(onwards)


@require_GET
def start(incoming: HttpRequest, authorize: str) -> HttpResponse:
    """Send the browser to the authorize address of the other origin, as some providers do."""
    return HttpResponseRedirect(f"{authorize}?{incoming.META['QUERY_STRING']}")


@csrf_exempt
@require_http_methods(["GET", "POST"])
def me(incoming: HttpRequest, tenant: str = "") -> HttpResponse:
    """Name the account that a valid token belongs to, and what the token may do."""
    valid, verified = get_oauthlib_core().verify_request(incoming, scopes=[])
    if not valid:
        return JsonResponse({"error": "invalid_token"}, status=401, headers={"WWW-Authenticate": "Bearer"})
    person = verified.user
    return JsonResponse(
        {
            "id": f"{tenant}-{person.pk}" if tenant else str(person.pk),
            "email": person.email,
            "name": person.first_name,
            "scopes": verified.access_token.scope.split(),
            "client_id": verified.client.client_id,
        }
    )


def _onwards(incoming: HttpRequest) -> str:
    wanted = incoming.POST.get("next") or incoming.GET.get("next", "/")
    return wanted if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) else "/"
