from app.catalog.lines import line_of, locate

TEXT = '''\
# title = "no"
title = "yes"
steps = [
    "a = [b", # c = ]
    "d",
]
long = """
[hidden]
key = 1
"""
"quoted key" = { one = 1, two = [1, 2] }
a.b.c = 1

[table]   # a table
x = 'it''s'

[table.inner]
y = "\\"z = ["
z = 1

[[list]]
n = 1

  [[list]]
  n = 2

  [list.sub]
  m = 1

[[list.deep]]
k = 1
'''


def test_locate_finds_keys_and_tables_and_nothing_inside_values():
    found = locate(TEXT.replace("'it''s'", "'its'"))

    assert {path: line for path, line in found.items() if path} == {
        ("title",): 2,
        ("steps",): 3,
        ("long",): 7,
        ("quoted key",): 11,
        ("a",): 12,
        ("a", "b"): 12,
        ("a", "b", "c"): 12,
        ("table",): 14,
        ("table", "x"): 15,
        ("table", "inner"): 17,
        ("table", "inner", "y"): 18,
        ("table", "inner", "z"): 19,
        ("list", 0): 21,
        ("list", 0, "n"): 22,
        ("list", 1): 24,
        ("list", 1, "n"): 25,
        ("list", 1, "sub"): 27,
        ("list", 1, "sub", "m"): 28,
        ("list", 1, "deep", 0): 30,
        ("list", 1, "deep", 0, "k"): 31,
    }


def test_line_of_falls_back_to_what_stands_around():
    found = locate(TEXT)

    assert line_of(found, ("quoted key", "two", 1)) == 11
    assert line_of(found, ("nothing", "here")) == 1
