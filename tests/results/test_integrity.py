"""A result file is whole, unchanged and true to itself, or it is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from linconv.config import ResolvedRun, RunKey
from linconv.results import ComplexityResult, ResultError, RunResult, read_result, write_result
from linconv.results.integrity import parse, record_digest, sealed_text
from linconv.results.kinds.run_record import RunOutcomes
from tests.results.factory import make_complexity, make_config, make_run

KEY = RunKey("digits", "base", "LSr", 0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, make_run(make_config(), KEY))
    return path


def refusal(path, kind=RunResult):
    with pytest.raises(ResultError) as error:
        read_result(path, kind)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert text.endswith("; delete the file to have it made again")
    return text.removeprefix(f"{path}: ")


def test_every_digit_of_a_number_counts(file):
    text = file.read_text()
    places = [m.start() for m in re.finditer(r"(?<=[\d.])\d", text)]
    assert len(places) > 500
    accepted = []
    for place in places[::5]:
        other = str((int(text[place]) + 1) % 10)
        file.write_text(text[:place] + other + text[place + 1 :])
        try:
            result = read_result(file, RunResult)
        except ResultError:
            continue
        accepted.append(result)  # a digit beyond the precision of a float
    file.write_text(text)
    assert all(result == read_result(file, RunResult) for result in accepted)
    assert len(accepted) < 30


def test_the_digest_is_over_the_content_and_not_over_the_spelling(file):
    values = json.loads(file.read_text())
    assert list(values)[-1] == "digest"
    assert values["digest"] == record_digest(values)
    file.write_text(json.dumps(values, sort_keys=True, indent=7))
    assert read_result(file, RunResult).seed == 0


@pytest.mark.parametrize("digest", [None, "0" * 64, 5])
def test_a_missing_or_another_digest_is_refused(digest, file):
    values = json.loads(file.read_text()) | {"digest": digest}
    if digest is None:
        del values["digest"]
    file.write_text(json.dumps(values))
    assert refusal(file).startswith("digest: the file is not as it was written")


def test_another_version_s_number_is_refused(file):
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    assert refusal(file).startswith("schema_version: ")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_not_finite_is_refused(literal, file):
    file.write_text(re.sub(r'"seconds": [\d.]+', f'"seconds": {literal}', file.read_text()))
    assert refusal(file).startswith("file: Invalid JSON: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands there twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_what_json_alone_would_let_through_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_nothing_is_written_that_is_not_finite(file):
    run = make_run(make_config(), KEY)
    before = file.read_bytes()
    origin = run.provenance.model_copy(update={"hardware": {"clock": float("nan")}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(file, run.model_copy(update={"provenance": origin}))
    assert file.read_bytes() == before


def at(values: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The object and the key that a path of keys and indices leads to."""
    *parents, last = (int(p) if p.lstrip("-").isdigit() else p for p in path.split("."))
    for parent in parents:
        values = values[parent]
    return values, last


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("metrics.top1", 123.0, "metrics.top1: "),
        ("metrics.top1", -5.0, "metrics.top1: "),
        ("metrics.top1", True, "metrics.top1: "),
        ("metrics.top1", "97.0", "metrics.top1: "),
        ("metrics.top1", 0.996, "file: metrics.top1 is 0.996, in epoch 6 of history it is 9"),
        ("metrics.top1", None, "file: metrics.top1 is None, in epoch 6"),
        ("metrics.test_loss", 0.5, "file: metrics.test_loss is 0.5"),
        ("metrics.epoch", 99, "file: metrics.epoch is 99, history has 6 epochs"),
        ("metrics.epoch", 5, "file: metrics.epoch is 5, the last one is 6"),
        ("metrics.epoch", 0, "metrics.epoch: "),
        ("metrics.params", -3, "metrics.params: "),
        ("metrics.params", 1000, "metrics: params_nonzero is 216000, above params, 1000"),
        ("metrics.coefficient_sparsity", 1.5, "metrics.coefficient_sparsity: "),
        ("history.2.epoch", 7, "file: the epochs of history are not 1, 2, ..."),
        ("history.2.learning_rate", -0.1, "history.2.learning_rate: "),
        ("history.2.test_top1", 100.5, "history.2.test_top1: "),
        ("history.2.train_loss", -1.0, "history.2.train_loss: "),
        ("history", [], "file: history has 0 epochs, the recipe 6"),
        ("status", "diverged", "file: metrics.top1 is 9"),
        ("seed", 1, "file: seed is 1, in config it is 0"),
        ("experiment", "other", "file: experiment is 'other', in config it is 'toy'"),
        ("config_hash", "0" * 16, "file: config_hash is 0000000000000000, the hash of config is "),
        ("config_hash", "0", "config_hash: "),
        ("code_hash", "unknown", "code_hash: "),
        ("config.recipe.learning_rate", 0.5, "file: config_hash is "),
        ("config.recipe", [], "file: config.recipe: "),
        ("config", {}, "file: config.experiment: Field required"),
        ("provenance.seconds", -1.0, "provenance.seconds: "),
        ("layers.0.filters", 0, "layers.0.filters: "),
    ],
)
def test_values_out_of_bounds_or_against_each_other_are_refused(path, value, message, file):
    values = json.loads(file.read_text())
    holder, key = at(values, path)
    holder[key] = value
    file.write_text(sealed_text(values))
    assert refusal(file).startswith(message)


def test_a_training_shorter_than_its_recipe_is_refused(file):
    values = json.loads(file.read_text())
    values["history"].pop()
    values["metrics"]["epoch"] = 5
    file.write_text(sealed_text(values))
    assert refusal(file).startswith("file: history has 5 epochs, the recipe 6")


def test_a_diverged_run_may_be_short(tmp_path):
    run = make_run(make_config(), KEY, status="diverged")
    write_result(tmp_path / "result.json", run)
    assert read_result(tmp_path / "result.json", RunResult) == run


def test_outcomes_must_give_the_accuracy():
    run = make_run(make_config(), KEY, top1=97.5)
    fits = RunOutcomes(file="outcomes.npz", count=200, correct=195, sha256="0" * 64)
    values = run.model_dump()
    assert RunResult(**values | {"outcomes": fits}).outcomes == fits
    for wrong in ({"correct": 194}, {"count": 201}):
        with pytest.raises(ValueError, match=r"outcomes give a top-1 of .*, metrics.top1 is 97.5"):
            RunResult(**values | {"outcomes": fits.model_copy(update=wrong)})
    with pytest.raises(ValueError, match="201 of 200 images are right"):
        RunOutcomes(file="outcomes.npz", count=200, correct=201, sha256="0" * 64)


def test_training_metrics_must_be_those_of_their_epoch():
    values = make_run(make_config(), KEY).model_dump()
    last = values["history"][-1]
    values["metrics"] |= {"train_loss": last["train_loss"], "train_top1": last["train_top1"]}
    assert RunResult(**values).metrics.train_top1 == last["train_top1"]
    values["metrics"]["train_loss"] += 1
    with pytest.raises(ValueError, match=r"metrics.train_loss is .*, in epoch 6 of history it is"):
        RunResult(**values)


def test_a_count_is_bound_as_well(tmp_path):
    path = tmp_path / "complexity.json"
    write_result(path, make_complexity(make_config()))
    text = path.read_text()
    path.write_text(text.replace('"macs_folded": 1', '"macs_folded": 2', 1))
    assert refusal(path, ComplexityResult).startswith("digest: ")
    values = json.loads(text)
    values["models"][0]["macs_folded"] = -1
    path.write_text(sealed_text(values))
    assert refusal(path, ComplexityResult).startswith("models.0.macs_folded: ")


def test_the_hash_is_that_of_the_configuration_that_made_the_run():
    run = make_run(make_config(), KEY)
    assert ResolvedRun.model_validate(run.config).hash == run.config_hash
