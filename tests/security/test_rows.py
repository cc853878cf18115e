"""A row of what each attack must meet is done when it has a test of its own name."""

import ast
from pathlib import Path

import pytest

# Those that concern what stands: webhooks (34) and tokens for the API (48) come with their parts.
ROWS = [*range(1, 34), *range(35, 48), *range(49, 52)]


def names():
    for path in Path(__file__).parent.glob("test_row_*.py"):
        yield from (node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_of_its_own_name(row):
    assert any(name.startswith(f"test_row_{row:02}_") for name in names())
