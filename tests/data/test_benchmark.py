"""`benchmarks/containers.py` in short: what it writes is read, and content of another digest is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torchvision.datasets as tv

from linconv.data import DATASETS, content, load
from tests.published_files import make_part, write_columns
from tests.scripts import load_script


@pytest.fixture
def script() -> Any:
    return load_script("benchmarks/containers.py")


def test_all_containers_that_it_writes_give_one_digest(
    tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train_list", "test_list", "meta", "tgz_md5"):  # the script states others
        monkeypatch.setattr(tv.CIFAR10, name, getattr(tv.CIFAR10, name))
    roots = [tmp_path / name for name in ("given", "png", "tgz")]
    for root in roots:
        root.mkdir()
    given, png, tgz = roots
    write_columns("cifar10", given, make_part(30, DATASETS["cifar10"]), make_part(10, DATASETS["cifar10"]), monkeypatch)
    data = load("cifar10", given)
    script.write_class_folders(png, data)
    sums = script.write_archive(tgz, data)
    monkeypatch.setattr(script, "start_anew", script.start)
    wanted = (data.content.train.digest, data.content.test.digest)
    assert wanted == content.KNOWN["cifar10"]
    assert script.compare_starts({png: {}, tgz: sums}, wanted)
    assert not script.compare_starts({png: {}}, (wanted[1], wanted[0]))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == ["png class folders"] * 2 + ["archives"] * 2 + [
        "png class folders"
    ] * 2
    assert all(line.endswith("the same digests") for line in said[:4])
    assert all("OTHER DIGESTS" in line for line in said[4:])
