"""The tables of what is measured of one network or one device: collected, rendered, on the page."""

from __future__ import annotations

import pytest

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config import RunKey, resolve_run
from linconv.report import build_report, render_tables
from linconv.results import write_result
from linconv.results.collect import collect
from linconv.results.kinds import KINDS
from linconv.results.kinds.correctness import CorrectnessResult, FormCheck
from linconv.results.kinds.deployment import DeployedArm, DeploymentResult
from linconv.results.kinds.profile import KindTime, NetworkProfile, ProfileResult
from linconv.results.kinds.regularizer import RegularizerResult, TimedCall
from linconv.results.kinds.sensitivity import LayerSensitivity, SensitivityResult
from tests.report.conftest import key
from tests.results.factory import make_config, make_run, read_rows

ONE = {"architectures": ["vgg11"], "variants": ["Lr"], "batches": [8]}
CONFIG = {
    "seeds": [0],
    "variants": ["conv", "Lr"],
    "profile": ONE | {"activities": ["inference"]},
    "regularizer": ONE,
    "sensitivity": {"variants": ["Lr"]},
    "correctness": {},
    "deployment": ONE | {"engines": ["openvino"], "precisions": ["int8"]},
}
ORIGIN = {"device": "cpu", "channels_last": False, "input_shape": (3, 32, 32), "classes": 10, "machine": {}}


def profile(origin):
    def network(name, convolutions):
        kinds = [
            KindTime(kind="convolutions", milliseconds=convolutions, share=convolutions / (convolutions + 10)),
            KindTime(kind="rest", milliseconds=10, share=10 / (convolutions + 10)),
        ]
        return NetworkProfile(name=name, seconds_per_call=(0.05, 0.06, 0.07), kinds=kinds, operations=[])

    return ProfileResult(
        architecture="vgg11",
        variant="Lr",
        activity="inference",
        batch_size=8,
        profiled_calls=3,
        grid_hash="a" * 16,
        code_hash="a" * 16,
        networks=[network("plain", 90), network("Lr", 30)],
        provenance=origin,
        **ORIGIN,
    )


def regularizer(origin):
    seconds = {"step": 1.0, "step again": 1.1, "step with penalty": 1.5, "penalty": 0.5, "penalty by autograd": 0.7}
    return RegularizerResult(
        architecture="vgg11",
        variant="Lr",
        batch_size=8,
        period=10,
        filters=[(4, 27)],
        rounds_wanted=3,
        block_seconds=0.1,
        grid_hash="a" * 16,
        code_hash="a" * 16,
        arms=[TimedCall(name=name, calls=1, seconds_per_call=(s,) * 3) for name, s in seconds.items()],
        provenance=origin,
        **ORIGIN,
    )


def sensitivity(origin):
    layers = [("a", 100, 1.5), ("b", 200, 1.2), ("c", 300, None), ("d", -5, 1.0)]
    config = make_config(recipe={"overrides": [{"set": {"epochs": 2}}]})
    run = resolve_run(config, RunKey("digits", "base", "conv", 0))
    return SensitivityResult(
        dataset="digits",
        architecture="base",
        variant="Lr",
        definition={"exclude": []},
        start=None,
        steps=20,
        params=1000,
        val_loss=0.5,
        val_top1=90.0,
        layers=[
            LayerSensitivity(layer=name, params=400, params_saved=saved, val_loss_plain=1.0, val_loss=loss)
            for name, saved, loss in layers
        ],
        config=run.model_dump(mode="json"),
        config_hash=run.hash,
        grid_hash="a" * 16,
        code_hash="a" * 16,
        provenance=origin,
    )


def correctness(origin):
    errors = [("feature", 1e-7), ("feature", 3e-6), ("weight", 1e-3), ("auto", None)]
    return CorrectnessResult(
        device="cpu",
        checks=[
            FormCheck(
                coefficients="full",
                geometry="3x3",
                form=form,
                precision="fp32",
                channels_last=False,
                error=error,
                tolerance=1e-5,
            )
            for form, error in errors
        ],
        grid_hash="a" * 16,
        code_hash="a" * 16,
        provenance=origin,
    )


def deployment(origin):
    seconds = {"plain": 1.0, "plain again": 1.02, "Lr folded": 1.0, "Lr feature": 0.6, "Lr product": 0.55}
    return DeploymentResult(
        architecture="vgg11",
        batch_size=8,
        precision="int8",
        engine="openvino",
        rounds_wanted=3,
        block_seconds=0.1,
        grid_hash="a" * 16,
        code_hash="a" * 16,
        arms=[
            DeployedArm(
                name=name,
                variant="Lr" if "Lr" in name else "conv",
                form=name.split()[-1] if "Lr" in name else "plain",
                status="ok",
                calls=1,
                seconds_per_call=(s,) * 3,
                file_bytes=4_000_000,
                deviation=0.01,
            )
            for name, s in seconds.items()
        ],
        provenance=origin,
        **ORIGIN,
    )


def test_a_row_of_inference_in_engines(measured):
    render_tables(measured)
    (row,) = [line for line in cells(measured / "tables" / "deployment.md") if "openvino" in line]
    assert row[-3:] == ["1.000 (1.000 to 1.000) ≈", "0.600 (0.600 to 0.600)", "0.550 (0.550 to 0.550)"]
    assert row[:7] == ["int8", "openvino", "VGG11", "8", "1000.00", "4.0", "2.0"]


# The functions above make a result of the kind that they are named after.
MAKERS = {name: globals()[name] for name in KINDS if name in globals()}


@pytest.fixture
def measured(collected):
    """An experiment with a result of every kind, collected."""
    root = collected(**CONFIG)
    config = make_config(**CONFIG)
    origin = make_run(config, key("Lr")).provenance
    for name, make in MAKERS.items():
        ((result_key, expected),) = KINDS[name].hashes(config).items()
        result = make(origin).model_copy(update={"grid_hash": expected})
        write_result(root / KINDS[name].path(result_key), result)
    collect(config, root)
    return root


def cells(path):
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_what_is_measured_is_shown():
    for name, entry in MEASUREMENTS.items():
        assert name == "run" or entry.tables or entry.figures, f"nobody sees the results of {name}"


def test_a_table_of_every_kind_is_on_the_page(measured):
    assert set(MAKERS) >= {"profile", "deployment", "regularizer", "sensitivity", "correctness"}
    made = {path.stem for path in render_tables(measured)}
    page = build_report(measured).read_text()
    for name in MAKERS:
        assert name in made
        assert f'-table-{name}"' in page
        assert len(read_rows(measured / "data" / f"{name}.csv")) >= 4


def test_where_the_time_goes(measured):
    render_tables(measured)
    _, _, *rows = cells(measured / "tables" / "profile.md")
    assert rows == [
        ["VGG11", "inference", "8", "Lr", "convolutions", "90.000", "90.0", "30.000", "75.0"],
        ["VGG11", "inference", "8", "Lr", "rest", "10.000", "10.0", "10.000", "25.0"],
        ["VGG11", "inference", "8", "Lr", "sum", "100.000", "", "40.000", ""],
        ["VGG11", "inference", "8", "Lr", "without the profiler", "60.000", "", "60.000", ""],
    ]


def test_what_the_regularizer_costs(measured):
    render_tables(measured)
    _, _, *rows = cells(measured / "tables" / "regularizer.md")
    assert [row[6:] for row in rows] == [
        ["step", "1000.00", "1.000 (1.000 to 1.000)", ""],
        ["step again", "1100.00", "1.100 (1.100 to 1.100)", ""],
        ["step with penalty", "1500.00", "1.500 (1.500 to 1.500)", "+5.00"],
        ["penalty", "500.00", "0.500 (0.500 to 0.500)", "+5.00"],
        ["penalty by autograd", "700.00", "0.700 (0.700 to 0.700)", "+7.00"],
    ]
    assert {row[5] for row in rows} == {"10.0"}


def test_which_layers_suffer(measured):
    render_tables(measured)
    path = measured / "tables" / "sensitivity.md"
    _, _, *rows = cells(path)
    assert [row[3:] for row in rows] == [
        ["b", "400", "200", "1.2000", "1.0000", "+0.2000", "+1"],
        ["a", "400", "100", "1.5000", "1.0000", "+0.5000", "+5"],
        ["c", "400", "300", "not finite", "1.0000", "not finite", "not finite"],
        ["d", "400", "-5", "1.0000", "1.0000", "+0.0000", "saves nothing"],
    ]
    assert (
        "* Base on Digits, Lr: the plain network after 2 epoch(s) has a validation loss of 0.5000" in path.read_text()
    )


def test_how_exact_the_forms_are(measured):
    render_tables(measured)
    _, _, *rows = cells(measured / "tables" / "correctness.md")
    assert [row[2:] for row in rows] == [
        ["feature", "2", "0", "3.0e-06", "1.0e-05"],
        ["weight", "1", "1", "1.0e-03", "1.0e-05"],
        ["auto", "1", "1", "not finite", "1.0e-05"],
    ]


def test_a_damaged_file_is_named_and_the_rest_collected(measured):
    (path,) = (measured / "profile").iterdir()
    path.write_text("{")
    collect(make_config(**CONFIG), measured, partial=True)
    (failure,) = read_rows(measured / "data" / "failures.csv")
    assert failure["reason"] == "damaged"
    assert failure["detail"].startswith(f"profile/{path.name}: file: Invalid JSON")
    assert read_rows(measured / "data" / "profile.csv") == []
    assert len(read_rows(measured / "data" / "regularizer.csv")) == 5
