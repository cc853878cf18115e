"""Where things are. All of OAuth is there a second time below /t/<tenant>/, for apps whose addresses name an account."""

from django.conf import settings
from django.urls import include, path
from oauth2_provider import urls, views
from oauth2_provider.views.metadata import OAuthServerMetadataView

from tests.provider.control import steer
from tests.provider.views import ConsentView, me, sign_in, sign_out, start

oauth = [
    path("authorize/", ConsentView.as_view(), name="authorize"),
    path("token/", views.TokenView.as_view(), name="token"),
    path("revoke_token/", views.RevokeTokenView.as_view(), name="revoke-token"),
    path("introspect/", views.IntrospectTokenView.as_view(), name="introspect"),
    path(".well-known/oauth-authorization-server", OAuthServerMetadataView.as_view(), name="oauth-server-metadata"),
    *urls.oidc_urlpatterns,
]
tenants = [*oauth[:4]]

urlpatterns = [
    path("o/", include((oauth, "oauth2_provider"))),
    path("t/<slug:tenant>/o/", include((tenants, "tenant"))),
    path("t/<slug:tenant>/api/me", me),
    path("api/me", me),
    path("login/", sign_in),
    path("logout/", sign_out),
    path("start", start, {"authorize": settings.AUTHORIZE_URL}),
    path("control/<slug:verb>", steer),
]
