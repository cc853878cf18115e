from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import cluster, fresh_database, template_database


def fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS word")


def words(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM note")]


def test_fresh_database_copies_a_template_and_is_gone_afterwards(postgres_url):
    with template_database(postgres_url, fill) as template:
        with fresh_database(postgres_url, template) as first, fresh_database(postgres_url, template) as second:
            with psycopg.connect(first) as connection:
                connection.execute("DELETE FROM note")
            assert words(first) == []
            assert words(second) == ["kept"]
            open_still = psycopg.connect(first)
        open_still.close()

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first)


def test_cluster_leaves_nothing_behind():
    with cluster() as url, psycopg.connect(url) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone()
        assert Path(data).stat().st_uid != 0
    assert not Path(data).exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)
