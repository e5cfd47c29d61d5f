"""One reader for .npz files: whole arrays, or one line."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from linconv.results import ResultError
from linconv.results.arrays import read_npz, write_npz

ARRAYS = {"a/b": np.arange(300, dtype=np.int16).reshape(3, 100), "c": np.array([], np.float32), "d": np.array([7])}


def refusal(path, **checks):
    with pytest.raises(ResultError) as error:
        read_npz(path, remedy="collect again", **checks)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith("; collect again")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_survive_their_file(compress, tmp_path):
    path = write_npz(tmp_path / "x.npz", ARRAYS, compress=compress)
    stored = read_npz(path, remedy="", names=("c",))
    assert list(stored) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert stored[name].dtype == array.dtype
        assert np.array_equal(stored[name], array)


@pytest.mark.parametrize("compress", [True, False])
def test_no_byte_changes_an_array_unseen(compress, tmp_path):
    path = write_npz(tmp_path / "x.npz", ARRAYS, compress=compress)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            stored = read_npz(path, remedy="collect again")
        except ResultError:
            refused += 1
            continue
        # what is left is of the archive: dates, attributes, versions
        assert set(stored) == set(ARRAYS)
        assert all(np.array_equal(stored[name], array) for name, array in ARRAYS.items())
    assert refused > len(whole) / 2


def test_other_damage_is_one_line(tmp_path):
    path = write_npz(tmp_path / "x.npz", ARRAYS)
    whole = path.read_bytes()
    assert "lacks the array 'e'" in refusal(path, names=("a/b", "e"))
    assert "is not the file that was written" in refusal(path, sha256="0" * 64)
    for content in (b"", b"PK", whole[:-30], whole[:100], b"text"):
        path.write_bytes(content)
        assert "is damaged (" in refusal(path)
    np.savez(path, a=np.array([{}], dtype=object))
    assert "is damaged (Object arrays" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no array")
    assert "unexpected member 'readme.txt'" in refusal(path)
    path.unlink()
    assert "cannot be read (No such file" in refusal(path)
    path.mkdir()
    assert "cannot be read (Is a directory" in refusal(path)
