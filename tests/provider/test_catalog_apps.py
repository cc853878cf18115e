from app.catalog import load
from app.config import Config
from tests.support.consent import consent


def test_catalog_apps_are_apps_of_the_catalog(apps):
    catalog = load(apps.folder, loopback_http=True)
    for key, client in apps.clients.items():
        assert catalog.get(key).eligible_for_clients
        assert dict(catalog.get(key).scopes) == client.scopes
    assert not catalog.get("keyhole").eligible_for_clients
    assert [field.name for field in catalog.get("shoply").fields] == ["subdomain"]


def test_environ_configures_an_installation_with_them(apps):
    config = Config.from_environ(apps.environ())

    assert config.oauth_clients == apps.oauth_clients
    assert config.apps_dir == apps.folder


def test_register_lets_each_client_in_at_its_own_address(apps, provider):
    apps.register(lambda key: f"http://localhost:9/oauth/callback/{key}")
    catalog = load(apps.folder, loopback_http=True)
    for key, client in apps.clients.items():
        app = catalog.get(key)
        url = app.expand(app.oauth2.authorize_url or provider.authorize_url, {"subdomain": "acme"})
        back = consent(
            f"{url}?response_type=code&client_id={client.client_id}&redirect_uri=http://localhost:9/oauth/callback/{key}"
            f"&scope={'+'.join(client.scopes)}&code_challenge={'c' * 43}&code_challenge_method=S256",
            provider.people["ann"],
        )
        assert "code" in back, key
