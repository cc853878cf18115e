"""What can be wrong with an app's file, and exactly what is said about it."""

from tests.catalog.conftest import SOUND


def at(fragment: str) -> int:
    """The line of the sound file that holds a fragment."""
    return next(number for number, line in enumerate(SOUND.splitlines(), 1) if fragment in line)


# What is put in place of what, the line that is named (its own, or that of another fragment), what is said of it.
BROKEN = {
    "unknown key": ('name = "Deskly"', 'nmae = "Deskly"', [(2, "unknown key nmae; did you mean name?"), (1, "name is missing")]),
    "unknown key without a likeness": ("[api]", "[api]\nzebra = 1", [(at("[api]") + 1, "unknown key api.zebra")]),
    "unknown key in a table": (
        "token_url", "tokenurl",
        [(at("token_url"), "unknown key oauth2.tokenurl; did you mean token_url?")],
    ),
    "a key of ours": ("category =", "loopback_http = true\ncategory =", [(3, "unknown key loopback_http")]),
    "missing table": ("[api]\nbase_url", "[oauth2.token]\nerror", [(1, "api is missing")]),
    "missing in a list": ('key = "create_ticket"\n', "", [(at('key = "create_ticket"') - 1, "actions[2].key is missing")]),
    "wrong type": ('name = "Deskly"', "name = 7", [(2, "name must be text in quotation marks")]),
    "wrong flag": ("default_scopes", 'pkce = "yes"\ndefault_scopes', [(at("default_scopes"), "oauth2.pkce must be true or false")]),
    "wrong number": (
        "default_scopes", "grant_lifetime_days = true\ndefault_scopes",
        [(at("default_scopes"), "oauth2.grant_lifetime_days must be a whole number")],
    ),
    "text for a list": (
        'default_scopes = ["read"]', 'default_scopes = "read"',
        [(at("default_scopes"), "oauth2.default_scopes must be a list in brackets")],
    ),
    "number in a list": (
        '["tickets:write", "read"]', '["tickets:write", 5]',
        [(at('tickets:write", "read'), "actions[2].scopes[2] must be text in quotation marks")],
    ),
    "text for a table": ("[api]\nbase_url =", "[oauth2.token]\nok = 5\nerror =", [(at("[api]") + 1, "oauth2.token.ok must be a table"), (1, "api is missing")]),
    "a condition of no kind": (
        "[api]", '[oauth2.token]\nok = { path = "ok", equals = 1.5 }\n[api]',
        [(at("[api]") + 1, "oauth2.token.ok.equals must be text in quotation marks, a whole number or true or false")],
    ),
    "table for text": ('"read" = "See', '"read" = ["See"] # "', [(at('"read" = "See'), "scopes.read must be text in quotation marks")]),
    "a choice": (
        "default_scopes", 'client_auth = "digest"\ndefault_scopes',
        [(at("default_scopes"), "oauth2.client_auth must be post, basic or none")],
    ),
    "a choice in a list": (
        'key = "find_ticket"', 'kind = "event"\nkey = "find_ticket"',
        [(at('key = "find_ticket"'), "actions[1].kind must be action or trigger")],
    ),
    "syntax": ('category = "Support"', "category = Support", [(3, "invalid value")]),
    "syntax at the end": ('scopes = ["tickets:write", "read"]', 'scopes = ["tickets:write"', [(at('tickets:write", "read'), "unclosed array")]),
    "a key twice": ('category = "Support"', 'category = "Support"\ncategory = "Sales"', [(4, "cannot overwrite a value")]),
    "plain http": (
        'token_url = "https://', 'token_url = "http://',
        [(at("token_url"), "the address “http://{subdomain}.deskly.example/token” must begin with https://")],
    ),
    "a website that is none": ('website = "https://deskly', 'website = "deskly', [(4, "the address “deskly.example” must begin with https://")]),
    "a user in an address": (
        "https://{subdomain}.deskly.example/me", "https://who@deskly.example/me",
        [(at("/me"), "the address “https://who@deskly.example/me” needs a plain host name")],
    ),
    "a port that is none": (
        "https://{subdomain}.deskly.example/me", "https://deskly.example:99999/me",
        [(at("/me"), "the address “https://deskly.example:99999/me” is not an address")],
    ),
    "a space in an address": (
        "https://{subdomain}.deskly.example/me", "https://deskly.example/a b",
        [(at("/me"), "the address “https://deskly.example/a b” has a character that addresses can't hold, or is too long")],
    ),
    "an unknown field": (
        "https://{subdomain}.deskly.example/me", "https://{domain}.deskly.example/me",
        [(at("/me"), "{domain} is neither a field nor a kept value that is known here")],
    ),
    "a lone brace": (
        "https://{subdomain}.deskly.example/me", "https://subdomain}.deskly.example/me",
        [(at("/me"), "“https://subdomain}.deskly.example/me” has a brace without its partner")],
    ),
    "a field that could change the host": (
        "https://{subdomain}.deskly.example/me", "https://deskly-{subdomain}/me",
        [(at("/me"), "in “https://deskly-{subdomain}/me” a value could change the host: it must be all of it, or end before a fixed domain")],
    ),
    "a field under a whole country": (
        "https://{subdomain}.deskly.example/me", "https://{subdomain}.example/me",
        [(at("/me"), "in “https://{subdomain}.example/me” a value could change the host: it must be all of it, or end before a fixed domain")],
    ),
    "a field as a whole host": (
        "https://{subdomain}.deskly.example/me", "https://{subdomain}/me",
        [(at("/me"), "{subdomain} is all of the host: whoever types it would choose where the client's secret goes")],
    ),
    "a field as a whole address": (
        "https://{subdomain}.deskly.example/me", "{subdomain}/me",
        [(at("/me"), "{subdomain} begins an address: only a kept value whose pattern begins with https:// can")],
    ),
    "a secret in a host": (
        "https://{subdomain}.deskly.example/me", "https://{access_token}.deskly.example/me",
        [(at("/me"), "{access_token} can't stand in a host")],
    ),
    "a field without a pattern": (
        'pattern = "[a-z0-9-]+"\n', "",
        [
            (at("authorize_url") - 1, "{subdomain} stands in an address: its field needs a pattern"),
            (at("token_url") - 1, "{subdomain} stands in an address: its field needs a pattern"),
            (at("/me") - 1, "{subdomain} stands in an address: its field needs a pattern"),
            (at("base_url") - 1, "{subdomain} stands in an address: its field needs a pattern"),
        ],
    ),
    "a pattern that is none": ('pattern = "[a-z0-9-]+"', 'pattern = "[a-z"', [(at("pattern"), "the pattern is no regular expression: unterminated character set at position 0")]),
    "an example that does not match": ('example = "acme"', 'example = "ACME"', [(at("example = "), "the example “ACME” does not match the pattern")]),
    "a default that does not match": ('suffix = ".deskly', 'default = "A"\nsuffix = ".deskly', [(at("suffix"), "the default “A” does not match the pattern")]),
    "a field's name": ('name = "subdomain"', 'name = "Sub-domain"', [
        (at('name = "subdomain"'), "the name “Sub-domain” must be small letters, digits and underscores"),
        (at("authorize_url"), "{subdomain} is neither a field nor a kept value that is known here"),
        (at("token_url"), "{subdomain} is neither a field nor a kept value that is known here"),
        (at("/me"), "{subdomain} is neither a field nor a kept value that is known here"),
        (at("base_url"), "{subdomain} is neither a field nor a kept value that is known here"),
    ]),
    "a field like a credential": ("[oauth2]", '[[fields]]\nname = "access_token"\nlabel = "Token"\n[oauth2]', [(at("[oauth2]") + 1, "the name “access_token” is taken")]),
    "a field that may be missing": ('suffix = ".deskly', 'optional = true\nsuffix = ".deskly', [
        (at(f"{name}") + 1, "{subdomain} stands in an address: its field needs a default, or can't be optional")
        for name in ("authorize_url", "token_url", "/me", "base_url")
    ]),
    "a scope without words": ('"tickets:write" = "Create and change tickets"\n', "", [
        (at('tickets:write", "read') - 1, "the scope “tickets:write” has no plain language under [scopes]"),
    ]),
    "a default scope without words": ('default_scopes = ["read"]', 'default_scopes = ["all"]', [
        (at("default_scopes"), "the scope “all” has no plain language under [scopes]"),
    ]),
    "a scope in its own words": ('"read" = "See your tickets"', '"read" = "read"', [
        (at("default_scopes"), "the scope “read” has no plain language under [scopes]"),
        (at('name = "Find ticket"') + 1, "the scope “read” has no plain language under [scopes]"),
        (at('tickets:write", "read'), "the scope “read” has no plain language under [scopes]"),
    ]),
    "text that does not show": ('label = "Deskly subdomain"', 'label = "Deskly\\u202esubdomain"', [
        (at('label = "Deskly'), "this text holds a line break or a character that does not show"),
    ]),
    "a name that does not show": ('name = "Deskly"', 'name = "Desk\\u0000ly"', [(2, "name must be 1 to 60 printable characters")]),
    "an action twice": ('key = "create_ticket"', 'key = "find_ticket"', [(at('key = "create_ticket"'), "the key “find_ticket” is taken")]),
    "an action's key": ('key = "create_ticket"', 'key = "Create"', [(at('key = "create_ticket"'), "the key “Create” must be small letters, digits and underscores")]),
    "the app's key": ('key = "deskly"', 'key = "Deskly_"', [
        (1, "key must be small letters, digits and single hyphens, 40 at most"),
        (1, "key is “Deskly_”, so the file must be called Deskly_.toml"),
    ]),
    "no token address": ('token_url = "https://{subdomain}.deskly.example/token"\n', "", [(at("[oauth2]"), "oauth2 needs either discovery_url, or authorize_url and token_url")]),
    "no identity": ('id = "user.id"\n', "", [(at("[oauth2.identity]"), "oauth2.identity.id is missing: whose account is it?")]),
    "an identity from nowhere": ('url = "https://{subdomain}.deskly.example/me"\n', "", [(at("[oauth2.identity]"), "oauth2.identity.url is missing")]),
    "an identity of no known kind": ('id = "user.id"', 'special = "desk_user"', [(at('id = "user.id"'), "there is no identity “desk_user” in a token_response")]),
    "a path half in braces": ('id = "user.id"', 'id = "user.{subdomain}"', [(at("[oauth2.identity]"), "“user.{subdomain}” is neither a dotted path nor a kept value in braces")]),
    "a nonce without openid": ("default_scopes", "nonce = true\ndefault_scopes", [
        (at("default_scopes") + 1, "an id_token needs openid among oauth2.default_scopes"),
        (at("[oauth2]"), "an id_token needs oauth2.issuer and oauth2.jwks_url, or discovery_url"),
    ]),
    "iss without an issuer": ("default_scopes", "iss_required = true\ndefault_scopes", [(at("default_scopes"), "iss_required needs oauth2.issuer")]),
    "no proof at all": ("default_scopes", 'client_auth = "none"\npkce = false\ndefault_scopes', [(at("default_scopes") + 1, "without client authentication, PKCE can't be off")]),
    "a parameter of ours": ("default_scopes", 'authorize_params = { state = "x" }\ndefault_scopes', [
        (at("default_scopes"), "oauth2.authorize_params can't set state: it is set for every flow"),
    ]),
    "a token parameter of ours": ("default_scopes", 'token_params = { redirect_uri = "x" }\ndefault_scopes', [
        (at("default_scopes"), "oauth2.token_params can't set redirect_uri: it is set for every flow"),
    ]),
    "an unknown parameter to rename": ("default_scopes", 'rename = { clientid = "x" }\ndefault_scopes', [(at("default_scopes"), "oauth2.rename knows no parameter clientid")]),
    "a lifetime of nothing": ("default_scopes", "unused_lifetime_days = 0\ndefault_scopes", [(at("default_scopes"), "oauth2.unused_lifetime_days must be at least 1")]),
    "a separator that is a letter": ("default_scopes", 'scope_separator = "x"\ndefault_scopes', [
        (at("default_scopes"), "oauth2.scope_separator must be a space, a comma or the like"),
    ]),
    "an unknown callback check": ("default_scopes", 'callback_check = "desk_hmac"\ndefault_scopes', [(at("default_scopes"), "there is no callback check “desk_hmac”")]),
    "a path without its token": ("[api]", '[oauth2.revoke]\nurl = "https://deskly.example/t"\nstyle = "delete_path"\n[api]', [
        (at("[api]") + 1, "style delete_path wants {token} in the address"),
    ]),
    "a kept value of another field": ("[api]", '[[oauth2.callback_keep]]\npath = "shop"\nname = "shop"\npattern = ".*"\nsame_as = "store"\n[api]', [
        (at("[api]") + 4, "same_as names “store”, which is no field of this app"),
    ]),
}  # fmt: skip
