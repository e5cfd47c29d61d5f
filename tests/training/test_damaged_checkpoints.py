"""What a damaged checkpoint does to `linconv`: a line, and nothing lost beyond an epoch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from linconv.results.files import temporary_name
from linconv.training import run as training_run
from linconv.training.callbacks import LogLines
from linconv.training.checkpoint import CURRENT, PREVIOUS
from tests.damage import Trainer, write_pets


def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Another content with a checksum that fits it."""

    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)
        path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())

    return damage


def flip_a_bit_of_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["model"]["classifier.weight"].numpy().tobytes()
    content[content.index(weight) + 100] ^= 1
    path.write_bytes(content)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class Stranger:
    """An object that only unrestricted unpickling would load."""


CHECKSUM = r"damaged: its content does not match its checksum"
# What happens to a checkpoint, and what the line says.
CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:1000]), CHECKSUM),
    "last byte missing": (lambda p: p.write_bytes(p.read_bytes()[:-1]), CHECKSUM),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"0"), CHECKSUM),
    "one bit flipped": (flip_a_bit_of_a_weight, CHECKSUM),
    "empty": (lambda p: p.write_bytes(b""), CHECKSUM),
    "not a checkpoint": (lambda p: p.write_text("<html>"), CHECKSUM),
    "a folder": (make_a_folder, r"it is no file"),
    "another version": (rewrite(lambda s: s.update(version=1)), r"its format is version 1, not \d"),
    "a key missing": (rewrite(lambda s: s.pop("optimizer")), r"optimizer: Field required"),
    "an object": (rewrite(lambda s: s.update(history=Stranger())), r"Weights only load failed"),
    "a model of another shape": (
        rewrite(lambda s: s["model"].update({"classifier.weight": torch.zeros(3, 1024)})),
        r"it does not fit the network: classifier\.weight",
    ),
    "an optimizer of another shape": (
        rewrite(lambda s: s["optimizer"][0].update(exp_avg=torch.zeros(2, 2))),
        r"its optimizer belongs to another model",
    ),
    "an optimizer of other parameters": (
        rewrite(lambda s: s["optimizer"].update({999: s["optimizer"][0]})),
        r"its optimizer belongs to another model",
    ),
    "a history without a field": (
        rewrite(lambda s: s["history"][0].pop("test_loss")),
        r"history\.0\.test_loss: Field required",
    ),
    "an epoch too late": (rewrite(lambda s: s.update(epoch=99)), r"its history is not that of 99 epochs"),
    "an epoch below 0": (rewrite(lambda s: s.update(epoch=-1)), r"epoch: Input should be greater than or equal to 0"),
    "an epoch that is text": (rewrite(lambda s: s.update(epoch="a")), r"epoch: Input should be a valid integer"),
    "no identity": (rewrite(lambda s: s.update(identity=None)), r"identity: Input should be a valid string"),
    "weights that are not finite": (
        rewrite(lambda s: s["model"]["classifier.weight"].fill_(float("nan"))),
        r"its weights are not finite",
    ),
    "no moments": (rewrite(lambda s: s.update(optimizer={})), r"its optimizer has no moments"),
    "a random state of another kind": (rewrite(lambda s: s.update(rng_cpu=torch.zeros(3))), r".+"),
    "a key too many": (rewrite(lambda s: s.update(more=1)), r"more: Extra inputs are not permitted"),
}


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "another configuration": (
        rewrite(lambda s: s.update(identity=re.sub("configuration .{4}", "configuration 0000", s["identity"]))),
        r"belongs to configuration 0000.*, not to configuration",
    ),
    "other code": (
        rewrite(lambda s: s.update(identity=re.sub("code .{4}", "code 0000", s["identity"]))),
        r"belongs to configuration .*, code 0000.*, not to configuration",
    ),
    "other images": (
        rewrite(lambda s: s.update(identity=re.sub("data .{4}", "data 0000", s["identity"]))),
        r"belongs to configuration .*, data 0000.*, not to configuration",
    ),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A folder with data and a run killed after its second epoch, and the files of the run that was not."""
    root = tmp_path_factory.mktemp("interrupted")
    write_pets(root)

    class Die(LogLines):
        def on_epoch_end(self, training: Any) -> None:
            if training.epoch == 2:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        caplog = _NoLog()
        whole = Trainer(root, caplog, patch)  # type: ignore[arg-type]
        assert whole("pets").code == 0
        files = outcome_of(whole.folder("pets"))
        shutil.rmtree(root / "results")
        patch.setattr(training_run, "LogLines", Die)
        # Click answers Ctrl-C with exit code 130; what counts is what lies in the folder then
        assert whole("pets").code == 130
    assert {p.name for p in whole.folder("pets").iterdir()} == {CURRENT, PREVIOUS}
    return root, files


class _NoLog:
    """In place of caplog, which a fixture of the module cannot have."""

    records: tuple[()] = ()

    def clear(self) -> None: ...


def outcome_of(folder: Path) -> dict[str, bytes]:
    """The files of a finished run, result.json without its provenance and digest.

    Its last checkpoint and checkpoints that were set aside are left out.
    """
    files = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".unusable" and ".of-" not in path.name and path.name not in (CURRENT, ".lock")
    }
    result = json.loads(files["result.json"])
    del result["provenance"], result["digest"]
    return files | {"result.json": json.dumps(result).encode()}


@pytest.fixture
def resumed(
    interrupted: tuple[Path, dict[str, bytes]], train: Trainer, tmp_path: Path
) -> tuple[Trainer, Path, dict[str, bytes]]:
    """The command that continues the run in a copy of that folder, the run's folder, and the files expected."""
    root, expected = interrupted
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return train, train.folder("pets"), expected


def line(name: str, reason: str) -> str:
    return rf"^checkpoint {re.escape(name)} cannot be used \(.*{reason}.*\); set aside as {re.escape(name)}\.unusable$"


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_damaged_checkpoint_is_set_aside_and_the_previous_one_used(
    kind: str, resumed: tuple[Trainer, Path, dict[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    train, folder, expected = resumed
    damage, reason = CHECKPOINTS[kind]
    damage(folder / CURRENT)
    outcome = train("pets")
    assert (outcome.code, outcome.errors) == (0, [])
    (warning,) = outcome.warnings
    assert re.search(line(CURRENT, reason), warning), warning
    assert f"continuing after epoch 1 from {PREVIOUS}" in caplog.messages
    assert (folder / f"{CURRENT}.unusable").exists()
    assert outcome_of(folder) == expected


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_checkpoint_is_kept_for_its_owner_and_the_previous_one_used(
    kind: str, resumed: tuple[Trainer, Path, dict[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    train, folder, expected = resumed
    damage, reason = FOREIGN[kind]
    damage(folder / CURRENT)
    outcome = train("pets")
    assert (outcome.code, outcome.errors) == (0, [])
    (warning,) = outcome.warnings
    assert re.search(rf"^checkpoint {re.escape(CURRENT)} {reason}.*; kept as {re.escape(CURRENT)}\.of-", warning)
    assert f"continuing after epoch 1 from {PREVIOUS}" in caplog.messages
    assert outcome_of(folder) == expected
    provenance = json.loads((folder / "result.json").read_text())["provenance"]
    (earlier,) = provenance["earlier_processes"]
    assert (earlier["epochs"], earlier["device"]) == (1, "cpu")
    assert provenance["seconds"] > earlier["seconds"] > 0
    assert provenance["peak_memory_mib"] >= earlier["peak_memory_mib"] > 100


STREAMED = {"imagefolders": {"pets": {"path": "pets", "stream": True}}}


@pytest.mark.parametrize("changes", [{}, STREAMED], ids=["in memory", "streamed"])
def test_a_run_on_other_images_begins_anew_and_its_own_ones_continue_it(
    changes: dict[str, Any],
    resumed: tuple[Trainer, Path, dict[str, bytes]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train, folder, expected = resumed

    def exchange_the_classes() -> None:
        for part in ("train", "test"):
            classes = tmp_path / "pets" / part
            for name, other in (("ant", "x"), ("bee", "ant"), ("x", "bee")):
                (classes / name).rename(classes / other)

    exchange_the_classes()
    outcome = train("pets", **changes)
    assert (outcome.code, outcome.errors) == (0, [])
    assert [
        bool(re.search(f"^checkpoint {n} belongs to .*, data ", w))
        for n, w in zip((CURRENT, PREVIOUS), outcome.warnings, strict=True)
    ] == [True, True]
    assert not any("continuing" in message for message in caplog.messages)
    assert outcome_of(folder)["weights.pt"] != expected["weights.pt"]
    exchange_the_classes()
    (folder / "result.json").unlink()
    assert train("pets", **changes).code == 0
    assert any(f"continuing after epoch 2 from {CURRENT}.of-" in message for message in caplog.messages)
    assert outcome_of(folder)["weights.pt"] == expected["weights.pt"]


def test_streamed_images_continue_what_images_in_memory_began(
    resumed: tuple[Trainer, Path, dict[str, bytes]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, folder, expected = resumed
    for file in (tmp_path / "pets").rglob("*.png"):  # as in a copy on another disk
        os.utime(file, (0, 0))
    assert train("pets", **STREAMED)[:3] == (0, [], [])
    assert f"continuing after epoch 2 from {CURRENT}" in caplog.messages
    assert outcome_of(folder)["weights.pt"] == expected["weights.pt"]


def test_with_both_damaged_the_training_starts_anew(
    resumed: tuple[Trainer, Path, dict[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    train, folder, expected = resumed
    for name in (CURRENT, PREVIOUS):
        (folder / name).write_bytes(b"")
    outcome = train("pets")
    assert outcome.code == 0
    assert [bool(re.search(line(n, CHECKSUM), w)) for n, w in zip((CURRENT, PREVIOUS), outcome.warnings, strict=True)]
    assert not any("continuing" in message for message in caplog.messages)
    assert outcome_of(folder) == expected


@pytest.mark.parametrize("missing", [CURRENT, PREVIOUS])
def test_a_missing_generation_is_no_message(missing: str, resumed: tuple[Trainer, Path, dict[str, bytes]]) -> None:
    train, folder, expected = resumed
    (folder / missing).unlink()
    assert train("pets")[:3] == (0, [], [])
    assert outcome_of(folder) == expected


def test_half_written_files_of_a_killed_process_are_replaced(
    resumed: tuple[Trainer, Path, dict[str, bytes]],
) -> None:
    train, folder, expected = resumed
    for name in (
        "result.json",
        "correlations.npz",
        "weights.pt",
        temporary_name("result.json", 2**31 - 1),
        temporary_name(CURRENT, 2**31 - 1),
    ):
        (folder / name).write_bytes(b'{"kind": "ru')
    assert train("pets")[:3] == (0, [], [])
    assert outcome_of(folder) == expected
