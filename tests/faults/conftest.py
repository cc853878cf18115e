"""What proofs about faults share."""

import pytest

from tests.faults import killing
from tests.support.installed import Installation

house, houses, house_on_postgres, house_on_sqlite = killing.fixtures


@pytest.fixture
def installation(database_url, tmp_path, smtp):
    """One of its own, whose processes are a test's to start."""
    return Installation(tmp_path, database_url, smtp.url)
