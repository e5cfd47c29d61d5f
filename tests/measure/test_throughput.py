"""Cells of timings: what is timed, how the samples are read, how a session continues."""

from __future__ import annotations

import json

import pytest
import torch

from linconv.config import VARIANTS, Variant
from linconv.config.errors import UserError
from linconv.layers import LinearConv2d
from linconv.measure import steps, throughput
from linconv.results import Provenance, ResultError, read_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.throughput import Arm, ThroughputKey, ThroughputResult, plan_throughput, timings
from linconv.results.planned import read_planned
from tests.measure.timed import QUICK, measure, quick
from tests.results.factory import make_config


def cell(**samples):
    arms = [
        Arm(name=name.replace("_", " "), variant="L", form="auto", status="ok", calls=1, seconds_per_call=tuple(values))
        for name, values in samples.items()
    ]
    nothing = dict.fromkeys(("git_commit", "git_dirty"))
    origin = Provenance(
        command="", versions={}, hardware={"cpu": "x"}, numerics={"threads": 1}, finished_utc="", seconds=1, **nothing
    )
    return ThroughputResult(
        architecture="base",
        activity="inference",
        batch_size=10,
        precision="fp32",
        backend="eager",
        input_shape=(3, 32, 32),
        classes=10,
        channels_last=False,
        device="cpu",
        rounds_wanted=3,
        block_seconds=0.05,
        grid_hash="0" * 16,
        code_hash="0" * 16,
        arms=arms,
        machine={},
        provenance=origin,
    )


def test_ratios_are_paired_within_rounds():
    # the machine is twice as slow in the second round: unpaired medians would say 1.0 of everything
    found = timings(cell(plain=[1, 2, 4], plain_again=[1.02, 2.0, 3.96], fast=[0.5, 1.2, 2.0], slow=[2, 2, 8]))
    by_name = {t.arm.name: t for t in found}
    plain, again, fast, slow = (by_name[n] for n in ("plain", "plain again", "fast", "slow"))
    assert (plain.ratio, plain.latency_ms, plain.images_per_second) == (1, 2000, 5)
    assert again.ratio == 1
    assert fast.ratio == 0.5  # of 0.5, 0.6, 0.5
    assert (fast.low, fast.high) == pytest.approx((0.5, 0.55))
    assert slow.ratio == 2.0  # of 2, 1, 2
    # A/A ratios 1.02, 1, 0.99: quartiles 0.995 and 1.01
    assert {round(t.band, 9) for t in found} == {0.01}
    assert [t.difference for t in found] == ["no difference", "no difference", "faster", "slower"]


def test_a_ratio_within_the_band_is_no_difference():
    found = timings(cell(plain=[1, 1, 1], plain_again=[1.1, 1.0, 0.9], a=[1.04] * 3, b=[1.06] * 3, c=[0.94] * 3))
    assert found[0].band == pytest.approx(0.05)
    assert [t.difference for t in found[2:]] == ["no difference", "slower", "faster"]


def test_a_cell_without_its_a_a_arm_cannot_be_read():
    with pytest.raises(ResultError, match="base, batch 10: no samples of plain again"):
        timings(cell(plain=[1, 1, 1]))


def test_what_is_timed():
    key = ThroughputKey("base", "inference", 2, "fp32", "eager")
    options = quick(forms=["auto", "folded"])
    arms = throughput.planned_arms(key, options, VARIANTS)
    assert [name for name, _, _ in arms] == ["plain", "plain again", "Lr auto", "Lr folded", "Lr optimized"]
    arms = throughput.planned_arms(key._replace(activity="training"), options, VARIANTS)
    assert [name for name, _, _ in arms] == ["plain", "plain again", "Lr auto"]
    narrow = {"narrow": Variant(layer="conv", narrow_to=VARIANTS["LRr"])}
    arms = throughput.planned_arms(key, quick(variants=["narrow"], forms=["auto", "folded"]), narrow)
    assert [name for name, _, _ in arms] == ["plain", "plain again", "narrow auto"], "a plain network has one form"


def test_the_most_telling_cells_come_first():
    options = quick(batches=[50, 1], precisions=["fp32", "bf16"], activities=["inference", "training"])
    names = [str(key) for key in plan_throughput(options)]
    assert names[:2] == ["base_inference_b50_fp32_eager", "base_training_b50_fp32_eager"]
    assert names[4] == "base_inference_b50_bf16_eager"
    assert len(names) == len(set(names)) == 8


def test_cells_that_differ_in_two_conditions_come_after_those_that_differ_in_one():
    options = quick(batches=[50, 1, 8], precisions=["fp32", "bf16"], activities=["training"])
    conditions = [(key.batch_size, key.precision) for key in plan_throughput(options)]
    assert conditions[0] == (50, "fp32")
    assert set(conditions[1:3]) == {(1, "fp32"), (50, "bf16")}
    assert conditions[-1] == (8, "bf16")


@pytest.mark.parametrize("activity", ["inference", "training"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cell_for_real(tmp_path, activity, precision):
    left, (path,) = measure(tmp_path, activities=[activity], precisions=[precision], channels_last=precision == "bf16")
    assert left == 0
    result = read_result(path, ThroughputResult)
    assert path.stem == f"base_{activity}_b2_{precision}_eager"
    assert all(len(arm.seconds_per_call) == 3 and min(arm.seconds_per_call) > 0 for arm in result.arms)
    assert {arm.form for arm in result.arms} == {"plain", "auto", "weight"} | (
        {"folded", "optimized"} if activity == "inference" else set()
    )
    peaks = {arm.form: arm.peak_allocated_mib for arm in result.arms}
    kept = 4 if activity == "training" else 1  # parameters, gradients, two moments
    bytes_each = 2 if (precision, activity) == ("bf16", "inference") else 4
    assert kept * bytes_each * 400_000 / 2**20 < peaks["plain"] < 40
    assert peaks["auto"] < peaks["plain"]  # of two images the parameters take the most
    assert {arm.peak_reserved_mib for arm in result.arms} == {None}
    assert result.provenance.numerics["threads"] == 1
    assert result.machine["before"]["load_average"] is not None


def test_a_training_step_trains_with_the_regularizer_at_its_period(monkeypatch):
    calls = []
    monkeypatch.setattr(steps, "EagerStep", lambda *a: lambda x, y, terms: calls.append((x, y, len(terms))))
    key = ThroughputKey("base", "training", 4, "fp32", "eager")
    parts = throughput._make(key, quick(), VARIANTS["Lr"], "auto", "cpu")
    assert [part.weight for part in parts] == [0.9, 0.1]
    for part in parts * 6:
        part.call()
    assert [terms for _, _, terms in calls] == [0, 1] * 6
    (plain,) = throughput._make(key, quick(), VARIANTS["conv"], "auto", "cpu")
    assert plain.weight == 1
    assert all(x.shape == (4, 3, 32, 32) and y.shape == (4,) for x, y, _ in calls)
    assert len({float(x.sum()) for x, _, _ in calls}) > 4  # augmented anew when the images repeat


def test_a_second_session_times_only_what_is_missing_damaged_or_stale(tmp_path):
    grid = {"batches": [1, 2], "activities": ["inference"]}
    left, files = measure(tmp_path, **grid)
    before = {path.name: path.read_bytes() for path in files}
    assert (left, len(before)) == (0, 2)
    assert {path.name: path.read_bytes() for path in measure(tmp_path, **grid)[1]} == before
    (tmp_path / "throughput" / "base_inference_b1_fp32_eager.json").write_text("{")
    after = {path.name: path.read_bytes() for path in measure(tmp_path, **grid)[1]}
    assert [name for name in before if before[name] != after[name]] == ["base_inference_b1_fp32_eager.json"]
    found, problems = read_planned(KINDS["throughput"], make_config(throughput=QUICK | grid | {"rounds": 4}), tmp_path)
    assert not found
    assert [problem.reason for problem in problems] == ["stale"] * 2


def test_a_session_ends_with_its_time_and_leaves_whole_files(tmp_path, caplog):
    assert measure(tmp_path, batches=[1, 2], activities=["inference"], budget_seconds=0) == (2, [])
    assert "2 of 2 left" in caplog.text


@pytest.mark.parametrize(
    ("change", "what"), [({"precisions": ["tf32"]}, "TF32"), ({"backends": ["cuda_graph"]}, "CUDA graphs")]
)
def test_what_a_cpu_cannot_do_is_said_in_the_result(tmp_path, change, what):
    _, (path,) = measure(tmp_path, activities=["inference"], **change)
    result = read_result(path, ThroughputResult)
    assert {(arm.status, arm.detail) for arm in result.arms} == {("not supported", f"{what} on a CPU")}
    assert timings(result) == []


def test_an_arm_that_does_not_fit_leaves_the_others(tmp_path, monkeypatch):
    make = throughput._make

    def failing(key, options, definition, form, device):
        if form == "weight":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")
        return make(key, options, definition, form, device)

    monkeypatch.setattr(throughput, "_make", failing)
    _, (path,) = measure(tmp_path, activities=["inference"])
    result = read_result(path, ThroughputResult)
    status = {arm.name: arm.status for arm in result.arms}
    assert status.pop("Lr weight") == "out of memory"
    assert set(status.values()) == {"ok"}
    assert len(timings(result)) == len(result.arms) - 1
    (failed,) = (arm for arm in result.arms if arm.status != "ok")
    assert failed.detail == "CUDA out of memory. Tried to allocate 20 GiB"


def test_a_form_is_the_form_that_runs():
    key = ThroughputKey("base", "training", 2, "fp32", "eager")
    seen = []

    def spy(self, input, forward=LinearConv2d.forward):
        seen.append(self.form_for(input))
        return forward(self, input)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinearConv2d, "forward", spy)
        for form in ("weight", "feature"):
            seen.clear()
            throughput._make(key, quick(), VARIANTS["L"], form, "cpu")[0].call()
            assert seen == [form] * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["eager", "cuda_graph"])
def test_a_cell_on_a_gpu(tmp_path, backend):
    left, files = measure(tmp_path, backends=[backend], precisions=["fp32", "tf32", "bf16"], device="cuda")
    assert (left, len(files)) == (0, 6)
    for path in files:
        result = read_result(path, ThroughputResult)
        assert {arm.status for arm in result.arms} == {"ok"}
        assert all(arm.peak_allocated_mib > 0 for arm in result.arms)
        assert json.loads(path.read_text())["machine"]["after"]["gpu_other_processes"] is not None


def test_timings_of_another_machine_are_not_continued(tmp_path):
    measure(tmp_path, activities=["inference"])
    with pytest.raises(UserError, match="holds measurements of cpu with 1 threads, not of cpu with 2; choose another"):
        measure(tmp_path, activities=["inference"], threads=2)


def test_without_room_for_two_plain_networks_nothing_is_compared(tmp_path, monkeypatch):
    made = []
    make = throughput._make

    def failing(*arguments):
        made.append(arguments)
        if len(made) == 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return make(*arguments)

    monkeypatch.setattr(throughput, "_make", failing)
    _, (path,) = measure(tmp_path, activities=["inference"])
    result = read_result(path, ThroughputResult)
    assert {arm.status for arm in result.arms} == {"out of memory"}
    assert timings(result) == []
