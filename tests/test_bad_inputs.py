"""Bad inputs of every kind, given to the command line: one line with the remedy, its exit code, and no traceback."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from linconv.results.arrays import write_npz
from linconv.results.collect import collect
from tests.config.configurations import raw
from tests.config.test_config import CASES
from tests.config.test_reading import TRAPS
from tests.damage import Trainer, write_pets
from tests.data.test_bad_folders import CLASSES, PARTS
from tests.data.test_bad_images import IMAGES
from tests.image_folders import write_classes, write_parts
from tests.results.factory import make_config, write_experiment
from tests.training.test_damaged_data import DATA, prepare_data
from tests.training.test_damaged_results import RESULTS

Prepare = Callable[[Path, pytest.MonkeyPatch], list[str]]  # makes the input; the command that is given it


class Bad(NamedTuple):
    prepare: Prepare
    message: str
    code: int = 2
    more_lines: int = 0  # beside the first: `collect` names every result


def text(content: str | bytes, message: str) -> Bad:
    """A configuration as a file."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        (root / "c.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["config", "c.yaml"]

    return Bad(prepare, message)


def folder(layout: Callable[[Path], object], change: Callable[[Path], object], message: str) -> Bad:
    """A folder of images, in a training."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        layout(root / "pets")
        change(root / "pets")
        return training(root, "pets")

    return Bad(prepare, message)


def data(dataset: str, damage: Callable[[Path, pytest.MonkeyPatch], object], message: str) -> Bad:
    """Files of a published data set, in a training."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        prepare_data(dataset, root, patch)
        damage(root, patch)
        return training(root, dataset)

    return Bad(prepare, message)


def training(root: Path, dataset: str) -> list[str]:
    values = raw(datasets=[dataset], device="cpu", data_root=str(root))
    if dataset == "pets":
        values["imagefolders"] = {"pets": {"path": "pets"}}
    (root / "c.yaml").write_text(yaml.safe_dump(values))
    where = ["--dataset", dataset, "--architecture", "base", "--variant", "conv", "--seed", "0"]
    return ["train", "c.yaml", *where]


def result(name: str, damage: Callable[[Path], object], message: str) -> Bad:
    """A result that is collected."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        config = make_config(variants=["conv"], seeds=[0])
        experiment = write_experiment(root / "results" / "toy", config)
        damage(experiment / "runs/digits/base/conv/seed0" / name)
        return ["collect", "results/toy/config.yaml"]

    return Bad(prepare, message, more_lines=1)


def collected(damage: Callable[[Path], object], message: str, command: tuple[str, ...] = ("render", "tables")) -> Bad:
    """Collected data that are rendered."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        config = make_config(variants=["conv"], seeds=[0])
        experiment = write_experiment(root / "results" / "toy", config)
        collect(config, experiment)
        damage(experiment)
        return [*command, "results/toy"]

    return Bad(prepare, message)


def command(*words: str, message: str, code: int = 2) -> Bad:
    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        write_pets(root)
        training(root, "pets")
        return list(words)

    return Bad(prepare, message, code)


def place(make: Callable[[Path], object], message: str, *options: str) -> Bad:
    """A place that a training cannot write to."""

    def prepare(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
        write_pets(root)
        words = training(root, "pets")
        make(root)
        return [*words, *options]

    return Bad(prepare, message, code=1)


def cut(name: str, keep: int) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:keep])


RUN = "results/x/runs/pets/base/conv/seed0"
TRAIN = ("train", "c.yaml", "--dataset", "pets", "--architecture", "base")
METHOD = {"variants": ["T"], "define": {"T": {"layer": "tucker", "options": {"in_rnk": 0.5}}}}


def rows() -> Iterator[tuple[str, Bad]]:
    """Every bad input by its name."""
    for name, (content, message) in TRAPS.items():
        yield f"configuration: {name}", text(content, r"c\.yaml" + re.escape(message))
    for i, (changes, message) in enumerate(CASES):
        yield f"value {i}: {message[:40]}", text(yaml.safe_dump(raw(**changes)), re.escape(message))
    for name, (change, message) in PARTS.items():
        yield f"folder: {name}", folder(write_parts, change, message)
    for name, (change, message) in CLASSES.items():
        classes = folder(lambda pets: write_classes(pets, 3, names=("ant", "bee")), change, message)
        yield f"folder without parts: {name}", classes
    for name, (change, message) in IMAGES.items():
        yield f"image: {name}", folder(write_parts, change, message)
    for name, (dataset, damage, message) in DATA.items():
        yield f"data: {name}", data(dataset, damage, message)
    for name, (file, change, message) in RESULTS.items():
        yield f"result: {name}", result(file, change, message)
    yield from OTHERS.items()


OTHERS: dict[str, Bad] = {
    "collected: a row less": collected(cut("data/runs.csv", -40), r"runs\.csv: is not the file that was collected"),
    "collected: nothing": collected(lambda root: (root / "data/runs.csv").unlink(), r"runs\.csv: missing; collect"),
    "collected: no manifest": collected(lambda root: (root / "data/manifest.json").unlink(), r"manifest.json: missing"),
    "collected: a damaged manifest": collected(cut("data/manifest.json", 99), r"manifest\.json: .*Invalid JSON"),
    "collected: other arrays": collected(
        lambda root: write_npz(root / "data/correlations.npz", {}), r"correlations\.npz: is not the file that was"
    ),
    "collected: no configuration": collected(lambda root: (root / "config.yaml").unlink(), r"config\.yaml"),
    "collected: another configuration": collected(
        lambda root: (root / "config.yaml").write_text("[]"), r"config\.yaml: a mapping of keys"
    ),
    "report: a folder without an experiment": collected(shutil.rmtree, r"results/toy: no such folder", ("report",)),
    "compare: a folder without an experiment": collected(
        lambda root: (root / "config.yaml").unlink(), r"holds no experiment", ("compare", "results/toy")
    ),
    "reproduce: no result": command("reproduce", "nowhere.json", message=r"nowhere\.json: cannot be read \(No such"),
    "reproduce: a configuration": command("reproduce", "c.yaml", message=r"c\.yaml: file: Invalid JSON"),
    "train: no configuration": command(
        "train",
        "x.yaml",
        *TRAIN[2:],
        "--variant",
        "conv",
        "--seed",
        "0",
        message=r"x\.yaml: cannot be read \(No such file",
    ),
    "train: another seed": command(*TRAIN, "--variant", "conv", "--seed", "9", message=r"seed9 is not a run of .*plan"),
    "train: another variant": command(*TRAIN, "--variant", "L", "--seed", "0", message=r"conv/L|is not a run of exper"),
    "work: no duration": command("work", "c.yaml", "--budget", "soon", message=r"a duration such as .*, not 'soon'"),
    "measure: nothing named": command("measure", "complexity", message=r"give either --config FILE or --architecture"),
    "measure: no such variant": command(
        "measure",
        "complexity",
        "--architecture",
        "base",
        "--variant",
        "Q",
        message=r"unknown variant 'Q'; known: conv, L",
    ),
    "measure: no such shape": command(
        "measure", "complexity", "--architecture", "base", "--input", "axb", message=r"such as 3x32x32, not 'axb'"
    ),
    "a method's option": Bad(
        lambda root, patch: [str((root / "c.yaml").write_text(yaml.safe_dump(raw(**METHOD))) and "config"), "c.yaml"],
        r"c\.yaml:\d+: define\.T\.options\.in_rnk: layer 'tucker' has no option 'in_rnk'; did you mean 'in_rank'\?",
    ),
    "place: results is a file": place(
        lambda root: (root / "results").write_text("x"), r"results.*: Not a directory; a file is where a folder"
    ),
    "place: the run's folder is a file": place(
        lambda root: ((root / RUN).parent.mkdir(parents=True), (root / RUN).write_text("x")),
        r"seed0.*: (File exists|Not a directory); a file is where a folder should be",
    ),
    "place: the result is a folder": place(
        lambda root: (root / RUN / "result.json").mkdir(parents=True), r"result\.json: Is a directory; a file is where"
    ),
    "place: the correlations are a folder": place(
        lambda root: (root / RUN / "correlations.npz").mkdir(parents=True), r"correlations\.npz: Is a directory; a file"
    ),
    "place: the log is a folder": place(
        lambda root: (root / "log").mkdir(), r"log: Is a directory; a file is where a folder", "--log", "log"
    ),
    "place: the log's folder is a file": place(
        lambda root: (root / "log").write_text("x"), r"log.*: (Not a directory|File exists); a file", "--log", "log/x"
    ),
    "place: a name too long": command(
        *TRAIN,
        "--variant",
        "conv",
        "--seed",
        "0",
        "--results",
        "x" * 300,
        message=r"\(File name too long\); choose shorter names",
    ),
    "place: a link to itself": place(
        lambda root: (root / "results").symlink_to("results"), r"results.*: .*; ", "--results", "results"
    ),
}

if Path("/proc/version").exists():  # a read-only file system that every Linux has
    OTHERS["place: read-only"] = place(lambda root: None, r"/proc/.*: .*; ", "--results", "/proc/results")
ROWS = dict(rows())


def test_there_are_enough() -> None:
    assert len(ROWS) >= 200


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.filterwarnings("ignore:.*decompression bomb")
def test_a_bad_input_is_one_line_and_its_exit_code(
    name: str, train: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ROWS[name]
    with chdir(tmp_path):  # some inputs undo all that `monkeypatch` has done
        words = bad.prepare(tmp_path, monkeypatch)
        outcome = train.command(*words)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert outcome.code == bad.code
    (error,) = outcome.errors
    first, *more = error.splitlines()
    assert first.startswith("error: ")
    assert len(more) == bad.more_lines
    assert re.search(bad.message, error), error
    assert error.isprintable() or more
    assert not list(tmp_path.rglob("checkpoint*"))  # nothing was trained before it was found
