"""Tests about the code: who may import whom, who reads the clock, how things are called, how large they grow."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each layer sees those above it in this list and its own; `app/__init__` sees everything, and nobody but the outermost sees it.
LAYERS = (
    {
        "clock",
        "errors",
        "config",
        "i18n",
        "extensions",
        "tenancy",
        "database",
        "turnstile",
        "egress",
        "vault",
        "logging",
    },
    {"prepared"},
    {"models", "catalog", "oauth"},
    {"runtime"},
    {"services"},
    {"links", "mailer"},
    {"web", "worker", "cli", "migrations"},
)
APART = "sandbox"
WITHOUT_FLASK = ("models", "catalog", "oauth", "services")
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_VIEW = 400, 50, 25
MADE_OF_TEXT = {"eval", "exec", "sqlalchemy.text", "sa.text"}
ROUTES = {"get", "post", "put", "patch", "delete", "route"}


@dataclass(frozen=True)
class Module:
    """A file of the application: its dotted name and what it says."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The part of the application that it belongs to; empty for `app/__init__`."""
        return self.name.split(".")[1] if "." in self.name else ""

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found.append(Module(path, name, ast.parse(path.read_text(), filename=str(path))))
    return tuple(found)


def written() -> Iterator[Module]:
    """What people write: revisions of the schema are made."""
    return (module for module in modules() if "versions" not in module.path.parts)


def imported(module: Module) -> set[str]:
    """The dotted names that a module imports, wherever in it; `from app import clock` is `app.clock`."""
    names, known = set(), {each.name for each in modules()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else str(node.module) for name in inner}
    return names


def packages(module: Module) -> set[str]:
    """The parts of the application that a module imports; `` is `app` itself."""
    ours = {name for name in imported(module) if name == "app" or name.startswith("app.")}
    return {name.split(".")[1] if "." in name else "" for name in ours} - {module.package}


def rank(package: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


def test_every_part_of_the_application_has_its_layer():
    parts = {module.package for module in modules()} - {"", APART}

    assert parts <= set().union(*LAYERS)


def test_nothing_points_up():
    up = [
        f"{module} imports app.{package}"
        for module in modules()
        if module.package not in ("", APART)
        for package in packages(module) - {"", APART}
        if rank(package) > rank(module.package)
    ]

    assert not up


def test_parts_of_one_layer_do_not_go_in_circles():
    graph: dict[str, set[str]] = {}
    for module in modules():
        if module.package not in ("", APART):
            graph.setdefault(module.package, set()).update(packages(module) - {"", APART})

    TopologicalSorter(graph).prepare()


def test_the_application_itself_is_imported_by_commands_alone():
    seen_from = {module.package for module in modules() if "" in packages(module)}

    assert seen_from <= {"cli"}


def test_the_sandbox_is_imported_by_commands_alone():
    seen_from = {str(module) for module in modules() if APART in packages(module)}

    assert {path.split("/")[1] for path in seen_from} <= {"cli"}


def test_the_sandbox_knows_nothing_of_what_an_installation_keeps():
    touched = set().union(*(packages(module) for module in modules() if module.package == APART))

    assert not touched & {"models", "services", "database", "vault", "runtime", "oauth", "worker", "mailer"}


@pytest.mark.parametrize("package", WITHOUT_FLASK)
def test_what_is_below_the_surfaces_never_imports_flask(package):
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        if module.package == package
        for name in imported(module)
        if name.split(".")[0] == "flask" or name.split(".")[0].startswith(("flask_", "werkzeug"))
    ]

    assert not guilty


def test_only_one_module_reads_the_clock():
    readers = {"datetime": {"now", "utcnow", "today"}, "date": {"today"}, "time": {"time", "time_ns"}}
    guilty = [
        f"{module}:{node.lineno}"
        for module in modules()
        if module.name != "app.clock"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in readers.get(node.value.id, ())
    ]
    aliased = [
        str(module)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in readers["time"]
    ]

    assert not guilty + aliased


def test_only_the_egress_client_opens_connections_to_providers():
    """Everything outbound over HTTP goes through the one guarded client; SMTP has a module of its own."""
    clients = {
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "requests",
        "urllib3",
        "aiohttp",
        "urllib.request",
        "http.client",
    }
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        if module.package not in ("egress", APART)
        for name in imported(module)
        if name in clients or name.partition(".")[0] in clients - {"urllib.request", "http.client"}
    ]

    assert not guilty


# Within these, whoever calls holds a transaction open, or may.
OUTWARD = {"exchange", "identify", "revoke", "refresh", "begin", "resolve", "deliver", "request"}
OUTWARD_MODULES = {"app.oauth", "app.egress"}


def test_no_service_calls_a_provider_within_a_transaction():
    guilty = []
    for module in modules():
        if module.package not in ("services", "worker", "web"):
            continue
        outward = _names_from(module, OUTWARD_MODULES)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.With) and any("transaction" in ast.unparse(item) for item in node.items):
                calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
                names = {ast.unparse(call.func).split(".")[0]: ast.unparse(call.func).split(".")[-1] for call in calls}
                guilty += [
                    f"{module}:{node.lineno} {name}"
                    for name, last in names.items()
                    if name in outward and last in OUTWARD
                ]

    assert not guilty


def _names_from(module: Module, origins: set[str]) -> set[str]:
    """The names under which a module knows things of these packages."""
    return {
        alias.asname or alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and any(str(node.module).startswith(origin) for origin in origins)
        for alias in node.names
    } | {origin.rpartition(".")[2] for origin in origins}


# Signatures that a library prescribes.
PRESCRIBED = {"handle_request", "open_session"}


def test_no_variable_is_called_request_and_no_module_requests():
    guilty = [str(module) for module in modules() if module.path.stem == "requests"]
    for module in written():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef) and node.name not in PRESCRIBED:
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                guilty += [f"{module}:{each.lineno}" for each in arguments if each.arg == "request"]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "request":
                guilty.append(f"{module}:{node.lineno}")

    assert not guilty


def test_no_file_is_too_large():
    sizes = {str(module): len(module.path.read_text().splitlines()) for module in written()}

    assert not {path: lines for path, lines in sizes.items() if lines > LONGEST_FILE}


def test_no_function_is_too_long():
    long = {}
    for module in written():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                limit = LONGEST_VIEW if _is_view(node) else LONGEST_FUNCTION
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > limit:
                    long[f"{module}:{node.name}"] = lines

    assert not long


def _is_view(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [each.func for each in node.decorator_list if isinstance(each, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in ROUTES for call in calls)


def test_views_neither_commit_nor_query():
    """A view loads through services: no session of its own, no statement, no transaction."""
    forbidden = {"select", "update", "insert", "delete", "text", "transaction"}
    guilty = []
    for module in modules():
        if not module.name.startswith(("app.web.panel", "app.web.client", "app.web.oauth", "app.web.portal")):
            continue
        guilty += [f"{module} imports {name}" for name in imported(module) if name.startswith("sqlalchemy")]
        guilty += [f"{module} imports {name}" for name in _names_from(module, {"app.database"}) & forbidden]
        guilty += [
            f"{module}:{node.lineno} commits"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
            and node.attr in ("commit", "flush", "rollback", "execute", "scalars", "scalar")
        ]

    assert not guilty


# Who speaks to the database past the session and its guard of tenants, and why that shows nobody another's data.
PAST_THE_GUARD = {
    "app/database.py": "makes the ways",
    "app/tenancy.py": "is the guard",
    "app/prepared.py": "holds each statement to the tenant by itself",
    "app/migrations/env.py": "knows tables, not rows",
    "app/cli/check.py": "looks whether the database is there",
    "app/services/health.py": "reads the schema's number",
    "app/cli/vault.py": "keys are everybody's",
    "app/services/key_inventory.py": "keys are everybody's",
    "app/services/vault_keys.py": "keys are everybody's",
    "app/services/rotation.py": "rewraps everybody's blobs, and reads none",
    "app/services/lost_keys.py": "destroys what nobody can read",
}
# Tables themselves, past the models that criteria are put on: for the types of their columns alone.
TYPES_ALONE = {"app/services/claims.py", "app/services/outgoing.py", "app/services/refresh_rows.py"}
WAYS_PAST = {"connection", "connect", "raw_connection", "exec_driver_sql"}


def test_only_those_who_are_named_here_go_past_the_guard_of_tenants():
    found = {str(module) for module in written() if module.package != "mailer" and goes_past_the_guard(module.tree)}

    assert found - TYPES_ALONE == PAST_THE_GUARD.keys()


@pytest.mark.parametrize(
    "code",
    [
        "db.session.connection().execute(select(1))",
        "with engine.connect() as connection: pass",
        "from app.database import connection",
        "from app.services.vault_keys import writing",
        "rows = Workspace.__table__",
    ],
)
def test_a_new_way_past_the_guard_would_be_noticed(code):
    assert goes_past_the_guard(ast.parse(code))


def goes_past_the_guard(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WAYS_PAST)
        or (isinstance(node, ast.Attribute) and node.attr in ("__table__", "local_table"))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module in ("app.database", "app.services.vault_keys")
            and any(alias.name in ("connection", "run", "writing") for alias in node.names)
        )
        for node in ast.walk(tree)
    )


def test_no_statement_is_put_together_from_text():
    """Row 50 of what attacks must meet: SQL comes from expressions, templates from files."""
    guilty = []
    for module in written():
        names = {name.rpartition(".")[2] for name in imported(module)}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.endswith(("render_template_string", "from_string")) or called in MADE_OF_TEXT:
                    guilty.append(f"{module}:{node.lineno} {called}")
                if (
                    called.endswith(("exec_driver_sql", ".execute"))
                    and node.args
                    and isinstance(node.args[0], ast.JoinedStr)
                ):
                    guilty.append(f"{module}:{node.lineno} {called} of an f-string")
        assert "Markup" not in names, f"{module} marks text as safe"

    # SQLite's settings, which are no values, stand in a list beside it.
    assert not [each for each in guilty if not each.startswith("app/database.py")]
