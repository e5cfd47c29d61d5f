"""The base of the entries: names are unique, targets are importable places."""

import pytest

from linconv.catalogue._entry import Entry, by_name


def test_an_entry_loads_what_it_names() -> None:
    entry = Entry(name="join", label="Join", target="os.path:join")
    assert entry.module == "os.path"
    assert entry.load()("a", "b").endswith("b")


@pytest.mark.parametrize("target", ["os.path", "os.path:", ":join", "os path:join", "os.path:join()"])
def test_a_target_without_module_and_attribute_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="'join': target 'module:attribute' expected"):
        Entry(name="join", label="Join", target=target)


def test_what_only_readers_see_is_no_part_of_the_identity() -> None:
    entry = Entry(name="join", label="Join", target="os.path:join")
    assert entry.identity() == {"name": "join", "target": "os.path:join"}


def test_entries_keep_their_order_and_their_names_are_unique() -> None:
    first, second = (Entry(name=name, label=name, target="os:path") for name in ("b", "a"))
    assert list(by_name(first, second)) == ["b", "a"]
    with pytest.raises(ValueError, match="two entries of the catalogue are named 'a'"):
        by_name(second, Entry(name="a", label="another", target="os:path"))
