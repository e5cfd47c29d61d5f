"""The how-to runs as it stands, in an empty folder, and its table is what the code gives."""

from __future__ import annotations

import pytest

from tests.scripts import load_script

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("safetensors")
halve = load_script("docs/halve_a_model.py")


def cells(lines):
    return {row[0]: row[1:] for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])}


def test_the_page_runs_and_its_table_is_what_the_code_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, printed = halve.run_page()
    lines = halve.table(names, rounds=3, block_seconds=0.002)
    now, there = cells(lines), cells(halve.made(halve.PAGE.read_text(encoding="utf-8")))
    assert lines[0] == halve.HEAD
    assert now.keys() == there.keys() == names["rows"].keys()
    assert "asked for 60.0%" in printed
    for name, (accuracy, size, milliseconds, _) in now.items():
        trained = "before training" not in name
        assert float(accuracy) == pytest.approx(float(there[name][0]), abs=3 if trained else 15), name
        assert float(accuracy) > (95 if trained else 30)
        assert (size == "") == (there[name][1] == "")
        assert not size or float(size) == pytest.approx(float(there[name][1]), rel=0.05)
        assert 0 < float(milliseconds) < 1000  # times are the machine's
    sizes = {name: float(row[1]) for name, row in now.items() if row[1]}
    assert sizes["converted and trained, PyTorch"] < 0.65 * sizes["plain, PyTorch"]
    assert sizes["converted and trained, onnxruntime int8"] < 0.3 * sizes["plain, PyTorch"]
