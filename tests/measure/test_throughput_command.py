"""The command that times networks: durations, tables, wrong grids."""

from __future__ import annotations

import shlex
import sys

import pytest
import yaml

from linconv.cli import main
from linconv.cli.options import seconds
from linconv.config import ConfigError
from linconv.config.errors import UserError
from linconv.results import ResultError
from linconv.results.collect import collect
from linconv.results.kinds.throughput import plan_throughput
from tests.measure.timed import QUICK, measure
from tests.results.factory import make_config, read_rows, write_experiment


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400)])
def test_durations(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "m", "-3s", "20 minutes", "1d"])
def test_no_durations(text):
    with pytest.raises(UserError, match="a duration such as 90s, 20m or 1h is expected"):
        seconds(text)


def test_timings_are_collected_into_one_table(tmp_path):
    config = make_config(throughput=QUICK | {"activities": ["inference"], "batches": [1, 2]})
    write_experiment(tmp_path, config)
    with pytest.raises(ResultError, match=r"base_inference_b1_fp32_eager\.json: missing: not timed yet"):
        collect(config, tmp_path)
    (key, other) = plan_throughput(config.throughput)
    assert measure(tmp_path, activities=["inference"], batches=[1, 2], only=[str(other)])[0] == 0
    found = collect(config, tmp_path, partial=True)
    assert found.failures == {"missing": 1}
    details = [row["detail"] for row in read_rows(tmp_path / "data" / "failures.csv")]
    assert details == [f"throughput/{key}.json: not timed yet"]
    rows = read_rows(tmp_path / "data" / "throughput.csv")
    assert [row["form"] for row in rows] == ["plain", "plain", "auto", "weight", "folded", "optimized"]
    assert rows[0]["ratio"] == "1"
    assert rows[0]["difference"] == ""
    assert {row["batch_size"] for row in rows} == {"2"}
    assert {row["samples"] for row in rows} == {"3"}
    assert all(float(row["ratio_low"]) <= float(row["ratio"]) <= float(row["ratio_high"]) for row in rows)


def test_the_command(tmp_path, monkeypatch, capsys):
    command = "linconv measure throughput --threads 1"
    monkeypatch.setattr(sys, "argv", shlex.split(f"{command} --architecture base --batch 1 --rounds 3"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out = capsys.readouterr().out
    assert out.startswith("architecture base, batch_size 1, precision fp32, backend eager")
    assert "training" in out
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(make_config(throughput=QUICK).model_dump(mode="json", exclude_unset=True)))
    command += f" --config {config} --results {tmp_path}"
    for options, code in (("--only base_training_b2_fp32_eager", 0), ("--budget 0s", 75), ("", 0)):
        monkeypatch.setattr(sys, "argv", shlex.split(f"{command} {options}"))
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
    files = sorted(path.name for path in (tmp_path / "toy" / "throughput").iterdir())
    assert files == ["base_inference_b2_fp32_eager.json", "base_training_b2_fp32_eager.json"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"variants": ["Lq"]}, "throughput.variants: unknown variant 'Lq'"),
        ({"variants": ["conv"]}, "the plain network is always measured too"),
        ({"architectures": ["vgg"]}, "did you mean 'vgg11'?"),
        ({"rounds": 2}, "throughput.rounds: input should be greater than or equal to 3"),
        ({"batches": []}, "throughput.batches: the list is empty"),
    ],
)
def test_a_wrong_grid_is_one_line(change, expected):
    with pytest.raises(ConfigError) as error:
        make_config(throughput=change)
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1
