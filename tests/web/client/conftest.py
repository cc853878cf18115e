"""Clients at an installation behind whose apps the independent provider stands, each asked by an agency of its own."""

from tests.support import provided, shared_app

agency, _, config, stranger = shared_app.fixtures
app, client, provided_apps, provided_on_postgres, provided_on_sqlite, visitor = provided.shared
asked, person, workflow = provided.fixtures
