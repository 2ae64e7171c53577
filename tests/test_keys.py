"""Dotted keys of nested configs."""

from gan_lab.keys import entries, leaves

NODE = {"a": 1, "b": {"c": None, "d": [2, {"e": 3}], "empty": {}}, 4: {"f": []}}


def test_every_leaf_has_a_key() -> None:
    assert list(leaves(NODE)) == [("a", 1), ("b.c", None), ("b.d", [2, {"e": 3}]), ("4.f", [])]


def test_list_entries_have_positions() -> None:
    assert list(leaves(NODE["b"], "b", lists=True)) == [("b.c", None), ("b.d.0", 2), ("b.d.1.e", 3)]


def test_containers_come_before_what_they_contain() -> None:
    assert [key for key, _ in entries(NODE)] == ["a", "b", "b.c", "b.d", "b.empty", "4", "4.f"]
