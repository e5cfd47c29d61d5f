"""Inference in engines: what is planned, that a cell is measured for real, its statistics and its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from linconv.cli import main
from linconv.config import Variant
from linconv.deploy import MissingPackageError
from linconv.measure.deployment import measure_deployment, planned_arms
from linconv.report.tables.deployment import deployment_ratios
from linconv.results import read_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.deployment import DeploymentKey, DeploymentResult
from tests.results.factory import make_config, measured_frame

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
ROOT = Path(__file__).parents[2]
QUICK = {"architectures": ["base"], "variants": ["L", "narrow"], "batches": [2], "rounds": 3, "block_seconds": 1e-4}
NARROW = {"narrow": {"layer": "conv", "narrow_to": "L"}}


def make(**changes):
    return make_config(define=NARROW, deployment=QUICK | changes)


def measure(engine, precision):
    config = make(engines=[engine], precisions=[precision])
    (key,) = KINDS["deployment"].plan(config)
    return measure_deployment(config, key, device="cpu", threads=1, command="x")


@pytest.fixture(scope="module")
def measured():
    return measure("onnxruntime", "int8")


def test_every_cell_is_planned_once_and_torch_in_fp32_alone():
    keys = KINDS["deployment"].plan(make(batches=[1, 50]))
    assert len(keys) == len(set(map(str, keys))) == 10
    assert ("torch", "int8") not in {(key.engine, key.precision) for key in keys}
    assert str(keys[0]) == "base_b1_fp32_onnxruntime"


@pytest.mark.parametrize(("engine", "more"), [("openvino", []), ("torch", ["L fastest"])])
def test_the_arms_of_a_cell(engine, more):
    config = make()
    arms = planned_arms(DeploymentKey("base", 1, "fp32", engine), config.deployment, config.known_variants)
    names = [arm.name for arm in arms]
    assert names == ["plain", "plain again", "L folded", "L feature", "L product", *more, "narrow folded"]


def test_a_cell_in_an_engine_for_real(measured):
    arms = {arm.name: arm for arm in measured.arms}
    assert all(len(arm.seconds_per_call) == 3 and min(arm.seconds_per_call) > 0 for arm in measured.arms)
    assert all(0 < arm.deviation < 0.3 for arm in measured.arms)  # rounded to int8, still the same network
    assert arms["L feature"].file_bytes < 0.7 * arms["plain"].file_bytes
    assert arms["narrow folded"].file_bytes < 0.7 * arms["plain"].file_bytes
    assert arms["L folded"].file_bytes == pytest.approx(arms["plain"].file_bytes, rel=0.01)
    assert measured.provenance.versions["onnxruntime"]
    assert measured.provenance.numerics["threads"] == 1


def test_torch_as_an_engine_gives_the_outputs_in_fp32():
    check_fp32(measure("torch", "fp32"), with_files=False)


@pytest.mark.slow  # tests/deploy/test_onnx.py runs every form in OpenVINO
def test_openvino_gives_the_outputs_in_fp32():
    """In a process of its own, as a command has: OpenVINO can crash beside the libraries of a thousand other tests."""
    pytest.importorskip("openvino")
    code = "from tests.measure.test_deployment import measure; print(measure('openvino', 'fp32').model_dump_json())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    check_fp32(DeploymentResult.model_validate_json(done.stdout.splitlines()[-1]), with_files=True)


def check_fp32(result, *, with_files):
    assert len(result.arms) > 5
    assert all(arm.deviation < 1e-5 for arm in result.arms)
    assert all((arm.file_bytes is not None) == with_files for arm in result.arms)


def test_ratios_are_taken_within_a_round(measured):
    seconds = {"plain": (1.0, 2.0, 4.0), "plain again": (1.0, 2.2, 4.0), "L product": (0.5, 1.2, 2.0)}
    arms = [
        arm.model_copy(update={"seconds_per_call": seconds[arm.name]}) for arm in measured.arms if arm.name in seconds
    ]
    frame = measured_frame("deployment", [measured.model_copy(update={"arms": arms})])
    row = frame[frame["form"] == "product"].iloc[0]
    assert (row["ratio"], row["ratio_high"], row["difference"]) == (0.5, 0.55, "faster")
    assert row["engine_version"] == measured.provenance.versions["onnxruntime"]
    text = str([[str(cell) for cell in line] for line in deployment_ratios(frame).rows])
    assert "0.500 (0.500 to 0.550)" in text


def test_the_identity_follows_the_variants_not_the_list_of_cells():
    key, kind = DeploymentKey("base", 2, "fp32", "torch"), KINDS["deployment"]
    assert kind.hash(make(), key) == kind.hash(make(batches=[2, 3], engines=["torch"]), key)
    assert kind.hash(make(), key) != kind.hash(make(rounds=4), key)
    other = make_config(define={"narrow": Variant(layer="conv", narrow_to=0.5).model_dump()}, deployment=QUICK)
    assert kind.hash(make(), key) != kind.hash(other, key)


def test_one_command_measures_and_shows(tmp_path, monkeypatch, capsys):
    config = tmp_path / "c.yaml"
    raw = {
        "experiment": "toy",
        "datasets": ["digits"],
        "architectures": ["base"],
        "variants": ["conv"],
        "seeds": [0],
        "deployment": QUICK | {"variants": ["L"], "engines": ["torch"], "precisions": ["fp32"], "forms": ["feature"]},
    }
    config.write_text(yaml.safe_dump(raw))
    command = [
        "linconv",
        "measure",
        "deployment",
        "--config",
        str(config),
        "--results",
        str(tmp_path),
        "--threads",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert "engine torch" in shown
    assert shown.count("\n") == 5  # what all share, the names of the columns, a row per arm
    (file,) = (tmp_path / "toy" / "deployment").iterdir()
    assert [arm.name for arm in read_result(file, DeploymentResult).arms] == ["plain", "plain again", "L feature"]


def test_a_missing_engine_is_one_plain_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackageError, match="needs the package 'openvino'"):
        measure("openvino", "fp32")
