"""What a job asks for is decided by the configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config import Config, ConfigError, parse_config
from linconv.config.jobs import needs_of
from linconv.config.needs import MEASURING, REPORTING, RULES

RAW = {"experiment": "e", "datasets": ["digits"], "architectures": ["base"], "variants": ["conv"], "seeds": [0]}


def config(**changes: Any) -> Config:
    return parse_config(RAW | changes)


@pytest.mark.parametrize("visible", ["", "0,1"])
@pytest.mark.parametrize(("device", "gpu"), [("cpu", 0), ("cuda", 1), ("auto", 1)])
def test_every_rule_that_can_use_a_gpu_asks_alike(
    monkeypatch: pytest.MonkeyPatch, device: str, gpu: int, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    asked = {rule: needs_of(config(device=device), rule).gpu for rule in RULES}
    without = {*REPORTING, *(name for name in MEASURING if not MEASUREMENTS[name].on_device)}
    assert asked == {rule: 0 if rule in without else gpu for rule in RULES}


def test_what_is_named_is_changed_and_nothing_else() -> None:
    plain, changed = config(), config(needs={"train": {"runtime": 600}, "throughput": {"threads": 8}})
    for rule in RULES:
        before, after = needs_of(plain, rule), needs_of(changed, rule)
        differing = {name for name in before._fields if getattr(before, name) != getattr(after, name)}
        assert differing == {"train": {"runtime"}, "throughput": {"threads"}}.get(rule, set())


def test_reporting_goes_to_the_queue_where_the_configuration_names_it_and_only_there() -> None:
    named = config(needs={"render": {"mem_mb": 9000}})
    assert {rule for rule in RULES if not needs_of(config(), rule).queued} == set(REPORTING)
    assert {rule for rule in RULES if not needs_of(named, rule).queued} == set(REPORTING) - {"render"}


def test_timings_are_alone() -> None:
    alone = {rule for rule in RULES if needs_of(config(), rule).alone}
    assert {"throughput", "profile", "regularizer"} <= alone <= set(MEASURING)


def test_a_measurement_that_trains_gets_the_memory_and_the_time_of_a_training() -> None:
    asked = {rule: needs_of(config(), rule)[1:3] for rule in RULES}
    assert {rule for rule in MEASURING if asked[rule] == asked["train"]} == {"sensitivity"}


def test_processes_that_decode_images_need_cores_where_images_are_streamed() -> None:
    both = config(datasets=["digits", "imagenet"], threads=2, loader_workers=3)
    assert needs_of(both, "train", "digits").threads == 2
    assert needs_of(both, "train", "imagenet").threads == 5
    assert needs_of(both, "work").threads == 5, "a worker takes either"


def test_a_gpu_can_be_given_to_a_rule_or_taken_from_it() -> None:
    named = config(device="auto", needs={"profile": {"gpu": 0}, "complexity": {"gpu": 1}})
    asked = {rule: needs_of(named, rule).gpu for rule in ("train", "profile", "complexity")}
    assert asked == {"train": 1, "profile": 0, "complexity": 1}


def test_a_worker_asks_for_what_the_runs_need_that_it_trains_side_by_side() -> None:
    streamed = {"datasets": ["imagenet"], "threads": 2, "loader_workers": 3, "runs_per_gpu": 4}
    on_gpu, on_cpu = (needs_of(config(device=device, **streamed), "work") for device in ("cuda", "cpu"))
    assert (on_gpu.threads, on_gpu.mem_mb) == (14, 28_000)
    assert (on_cpu.threads, on_cpu.mem_mb) == (5, 16_000)


def test_the_page_names_what_every_queued_rule_asks_for() -> None:
    page = (Path(__file__).parents[2] / "docs/cluster.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for rule in set(RULES) - set(REPORTING):
        (row,) = (line for line in rows if f"`{rule}`" in line.split("|")[1])
        needs = needs_of(config(device="cuda"), rule)
        _, _, cores, memory, time, gpu, _ = (cell.strip() for cell in row.split("|"))
        assert ("alone" in cores) == needs.alone, rule
        assert int(memory.split(" GB")[0]) * 1000 == needs.mem_mb, rule
        assert {"1 day": 1440, "1 hour": 60}[time] == needs.runtime, rule
        assert gpu.startswith("1") == bool(needs.gpu), rule


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        config(needs={"trian": {"runtime": 1}})
    with pytest.raises(ValueError, match="unknown rule"):
        needs_of(config(), "trian")


def test_needs_change_no_run() -> None:
    assert config(needs={"train": {"runtime": 1}}, workers=3).identity() == config().identity()
