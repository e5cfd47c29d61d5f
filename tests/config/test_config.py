"""A configuration is checked whole, and every error is one line that names the key, the value and the remedy."""

import math
import re
from pathlib import Path

import pytest
import yaml

from linconv.catalogue.measurements import ThroughputOptions
from linconv.config import ConfigError, RunKey, load_config, parse_config, plan_runs, resolve_run
from linconv.config.options import StatisticsOptions
from linconv.config.variants import VARIANTS, Regularizer
from tests.config.configurations import ROOT, pets, raw, variant


def plain(name, **regularizer):
    return {"define": {"X": {"layer": "conv", "regularizers": [{"name": name, **regularizer}]}}, "variants": ["X"]}


CASES = [
    ({"recip": {}}, "recip: unknown key; did you mean 'recipe'?"),
    ({"recipe": {"preset": "papr"}}, "recipe.preset: unknown preset 'papr'; did you mean 'paper'?"),
    ({"recipe": {"overrides": [{"set": {"epoch": 1}}]}}, "unknown recipe key 'epoch'; did you mean 'epochs'?"),
    (
        {"recipe": {"overrides": [{"set": {"epochs": -1}}]}},
        "recipe.overrides.0.set.epochs: input should be",
    ),
    ({"recipe": {"overrides": [{"architectures": ["bse"], "set": {}}]}}, "did you mean 'base'?"),
    ({"recipe": {"overrides": [{"set": {"nesterov": True}}]}}, "nesterov needs a momentum"),
    ({"datasets": ["mnst"]}, "datasets: unknown data set 'mnst'; did you mean 'mnist'?"),
    ({**pets(), "datasets": ["pet"]}, "datasets: unknown data set 'pet'; did you mean 'pets'?"),
    (
        {**pets(), "datasets": ["zzz"]},
        "known: digits, synthetic, mnist, fashionmnist, cifar10, cifar100, svhn, imagenet, pets",
    ),
    (
        {"recipe": {"overrides": [{"set": {}}, {"datasets": ["digit"], "set": {}}]}},
        "recipe.overrides.1.datasets: unknown data set 'digit'; did you mean 'digits'?",
    ),
    ({"imagefolders": {"svhn": {"path": "x"}}}, "imagefolders: 'svhn' is a built-in data set; choose another"),
    ({"imagefolders": {"CIFAR-10": {"path": "x"}}}, "'CIFAR-10' is written like 'cifar10', which is a built-in"),
    ({"imagefolders": {"Pets": {"path": "x"}, "pets": {"path": "y"}}}, "'Pets' and 'pets' share a folder on disks"),
    (pets(image_size=100_000), "imagefolders.pets.image_size: input should be less than or equal to 4096"),
    ({"imagefolders": {"a/b": {"path": "x"}}}, "string should match pattern"),
    ({"imagefolders": {"pets": {}}}, "imagefolders.pets.path: missing"),
    (pets(path="/home/pets"), "imagefolders.pets.path: the path must lead below data_root"),
    (pets(path="a/../../pets"), "must lead below data_root; set data_root to the folder it starts from"),
    (pets(flp=True), "imagefolders.pets.flp: unknown key; did you mean 'flip'?"),
    (pets(image_size=16), "imagefolders.pets.image_size: input should be greater than or equal to 32 (got 16)"),
    (pets(test_share=1), "imagefolders.pets.test_share: input should be less than 1"),
    (pets(mean=[0.5, 0.5, 0.5]), "imagefolders.pets: mean and std belong together"),
    (pets(mean=[0.5] * 3, std=[0.2, 0, 0.2]), "imagefolders.pets.std.1: input should be greater than 0"),
    ({"architectures": ["vgg"]}, "architectures: unknown architecture 'vgg'; did you mean 'vgg11'?"),
    ({"variants": ["Lx"]}, "unknown variant 'Lx'; did you mean 'L'?"),
    ({"variants": ["zzz"]}, "unknown variant 'zzz'; known: conv, L, Lr, LRr, LSr"),
    ({"datasets": "digits"}, "datasets: a list is expected (got 'digits')"),
    ({"seeds": [0, "a"]}, "seeds.1: input should be a valid integer"),
    ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0 (got -1)"),
    ({"seeds": []}, "seeds: the list is empty; give at least one entry"),
    ({"datasets": []}, "datasets: the list is empty"),
    ({"seeds": [3, 3]}, "seeds: 3 is listed twice"),
    ({"variants": ["conv", "conv"]}, "variants: 'conv' is listed twice"),
    ({"threads": "many"}, "threads: input should be a valid integer"),
    ({"experiment": "../up"}, "experiment: string should match pattern"),
    ({"experiment": "reference"}, "choose another name"),
    ({"seeds": [True]}, "seeds: a number is expected, but entry 0 is true"),
    ({"variants": ["L", "l"], "define": {"l": {"extends": "L"}}}, "'L' and 'l' share a folder"),
    ({"experiment": ""}, "experiment: string should match pattern"),
    (variant(options={"rank": -3}), "define.X.options.rank: must be an int of at least 1 or a float in"),
    (variant(options={"rank": 1.5}), "or a float in (0, 1] (got 1.5)"),
    (variant(options={"primary_ratio": 1}), "define.X.options.primary_ratio: must be a number in (0, 1) (got 1)"),
    (variant(options={"prim": 1}), "define.X.options.prim: unknown key; did you mean 'primary_ratio'?"),
    (variant(options={"rank": 2, "sparsity": 0.5}), "rank and sparsity exclude each other"),
    (variant(sparsity_schedule={}), "a sparsity_schedule needs options.sparsity"),
    (variant(regularizers=[{"name": "correlate"}]), "regularizers.0.name: unknown regularizer 'correlate'; did"),
    ({"define": {"X": {"layer": "conv", "skip_first": True}}}, "takes no skip_first"),
    ({"define": {"X": {"layer": "conv", "skip_last": True}}}, "takes no skip_last"),
    (
        plain("correlation"),
        "define.X: correlation would act on nothing: layer 'conv' has no primary filters; say acts_on",
    ),
    (plain("coefficient_l1"), "define.X: coefficient_l1 would act on nothing: it needs options.sparsity"),
    (variant(regularizers=[{"name": "coefficient_l1"}]), "coefficient_l1 would act on nothing"),
    (plain("coefficient_l1", acts_on="filters"), "coefficient_l1 acts on sparse coefficients, never on filters"),
    (plain("orthogonal", mode="normalized"), "mode belongs to correlation; orthogonal has none"),
    ({"recipe": {"overrides": [{"set": {"scale_weight_decay": True}}]}}, "needs a weight_decay above 0"),
    ({"define": {"X": {"extends": "LSrr"}}}, "define.X.extends: unknown variant 'LSrr'; did you mean 'LSr'?"),
    ({"figures": {"heatmap_variants": ["Q"]}}, "unknown variant 'Q'"),
    ({"exclude": [{}]}, "exclude.0: an exclusion needs at least one of datasets, architectures, variants"),
    ({"exclude": [{"variants": ["L"]}]}, "exclude.0.variants: unknown name under variants 'L'; known: conv"),
    ({"exclude": [{"variants": ["conv"]}]}, "exclude: nothing of the grid is left"),
    ({"figures": {"formats": ["gif"]}}, "figures.formats.0: input should be 'svg', 'pdf' or 'png'"),
    ({"complexity": {"architectures": ["vgg12"]}}, "did you mean 'vgg11'?"),
    ({"complexity": {"input_shape": [3, 0, 32]}}, "channels, height and width must be at least 1"),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_errors_name_key_value_and_remedy(changes, expected):
    with pytest.raises(ConfigError) as error:
        parse_config(raw(**changes), "f.yaml")
    message = str(error.value)
    assert expected in message
    assert all(line.startswith("f.yaml: ") for line in message.splitlines())
    assert len(message.splitlines()) == 1


def test_a_rank_above_the_primaries_of_every_convolution_is_refused():
    with pytest.raises(ConfigError, match="rank 129 is above the primaries of every convolution of base"):
        parse_config(raw(**variant(options={"rank": 129}), complexity={"architectures": ["base"]}))
    parse_config(raw(**variant(options={"rank": 128}), complexity={"architectures": ["base"]}))


def test_all_errors_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        parse_config({"datasets": ["digits"], "seeds": []})
    assert {line.split(":")[1].strip() for line in str(error.value).splitlines()} == {
        "experiment",
        "architectures",
        "variants",
        "seeds",
    }


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2", "", "just text"])
def test_files_that_are_no_mapping(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(path)


def test_a_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_config("nowhere.yaml")


@pytest.mark.parametrize(("name", "runs"), [("config", 15), ("paper", 360), ("smoke", 4), ("mnist", 27)])
def test_the_shipped_files_are_valid_and_survive_a_round_trip(name, runs, tmp_path):
    config = load_config(ROOT / "config" / f"{name}.yaml")
    assert len(plan_runs(config)) == runs
    for dump in (config.model_dump(mode="json"), config.model_dump(mode="json", exclude_unset=True)):
        path = tmp_path / "resolved.yaml"
        path.write_text(yaml.safe_dump(dump))
        again = load_config(path)
        assert {k: resolve_run(again, k).hash for k in plan_runs(again)} == {
            k: resolve_run(config, k).hash for k in plan_runs(config)
        }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"overrides": [{"set": {"precision": "half"}}]}}, r"set\.precision"),
        ({"recipe": {"overrides": [{"set": {"clip_grad_norm": 0}}]}}, r"set\.clip_grad_norm"),
        ({"runs_per_gpu": 0}, "runs_per_gpu"),
        ({"runs_per_gpu": True}, "runs_per_gpu"),
        ({"cuda_graph": "perhaps"}, "cuda_graph"),
    ],
)
def test_values_the_engine_cannot_have_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(raw(**changes))


def test_excluded_cells_are_not_planned_and_change_no_run():
    names = {"architectures": ["base", "vgg11"], "variants": ["conv", "L", "LSr"], "seeds": [0, 1]}
    holes = [{"architectures": ["vgg11"], "variants": ["LSr", "L"]}, {"variants": ["L"]}]
    whole, holed = parse_config(raw(**names)), parse_config(raw(**names, exclude=holes))
    assert {(k.architecture, k.variant) for k in plan_runs(holed)} == {
        ("base", "conv"),
        ("base", "LSr"),
        ("vgg11", "conv"),
    }
    assert len(plan_runs(holed)) == 6
    assert all(resolve_run(holed, k).hash == resolve_run(whole, k).hash for k in plan_runs(holed))
    with pytest.raises(ValueError, match="not a run of experiment"):
        resolve_run(holed, RunKey("digits", "vgg11", "L", 0))


def test_an_override_may_name_an_image_folder():
    overrides = [{"datasets": ["pets"], "set": {"epochs": 3}}]
    config = parse_config(raw(**pets() | {"datasets": ["digits", "pets"], "recipe": {"overrides": overrides}}))
    assert config.recipe.resolve("base", "pets").epochs == 3
    assert config.recipe.resolve("base", "digits").epochs == 250


def test_regularizers_of_plain_convolutions_and_their_identity():
    def definition(**changes):
        return parse_config(raw(**plain("conv_orthogonal", **changes))).known_variants["X"]

    (regularizer,) = definition(acts_on="filters").regularizers
    assert (regularizer.weight, regularizer.acts_on) == (0.1, "filters")
    assert (
        definition(acts_on="filters", weight=0.1)
        == definition(acts_on="filters")
        != definition(acts_on="filters", weight=0.01)
    )
    correlation = Regularizer(name="correlation")
    assert correlation.identity() == {"name": "correlation", "weight": 0.01, "mode": "paper", "period": 1}
    assert correlation.model_copy(update={"acts_on": "filters"}).identity()["acts_on"] == "filters"


def test_a_definition_may_extend_a_variant_in_parts():
    config = parse_config(raw(define={"Q": {"extends": "LSr", "options": {"sparsity": 0.9}}}, variants=["Q"]))
    assert config.known_variants["Q"].options.sparsity == 0.9
    assert config.known_variants["Q"].regularizers == config.known_variants["LSr"].regularizers


def test_the_folder_of_the_data_is_the_configurations_then_the_environments_then_data(monkeypatch):
    monkeypatch.delenv("LINCONV_DATA", raising=False)
    assert parse_config(raw()).data_folder == Path("data")
    assert parse_config(raw(data_root="~/images")).data_folder == Path.home() / "images"
    monkeypatch.setenv("LINCONV_DATA", "/from/environment")
    config, key = parse_config(raw()), RunKey("digits", "base", "conv", 0)
    assert config.data_folder == Path("/from/environment")
    assert "/from/environment" not in config.model_dump_json() + resolve_run(config, key).model_dump_json()
    assert parse_config(raw(data_root="given")).data_folder == Path("given")
    assert parse_config(raw(data_root=None)).data_folder == Path("/from/environment")
    monkeypatch.setenv("LINCONV_DATA", "")
    assert parse_config(raw()).data_folder == Path("data")


def test_narrow_to_names_a_variant_whose_definition_it_takes():
    quarter = {"extends": "L", "options": {"primary_ratio": 0.25}}
    define = {"quarter": quarter, "narrow": {"layer": "conv", "narrow_to": "quarter"}}
    define["as_lrr"] = {"layer": "conv", "narrow_to": "LRr"}
    known = parse_config(raw(define=define, variants=["conv", "narrow", "as_lrr"])).known_variants
    assert known["narrow"].narrow_to == known["quarter"]
    assert known["as_lrr"].narrow_to == VARIANTS["LRr"]
    wrong = {"n": {"layer": "conv", "narrow_to": "quartr"}, "quarter": quarter}
    with pytest.raises(ConfigError, match=r"define\.n\.narrow_to: unknown variant 'quartr'; did you mean 'quarter'\?"):
        parse_config(raw(define=wrong))
    with pytest.raises(ConfigError, match="narrow_to needs layer 'conv', not 'linear'"):
        parse_config(raw(define={"n": {"extends": "L", "narrow_to": 0.5}}))
    with pytest.raises(ConfigError, match=r"define\.b\.narrow_to: 'a' is narrowed itself; name another variant"):
        parse_config(raw(define={"a": {"layer": "conv", "narrow_to": 0.5}, "b": {"layer": "conv", "narrow_to": "a"}}))


@pytest.mark.parametrize(
    ("statistics", "dataset", "error", "margin"),
    [
        ({}, "digits", 4.0, 0.8),
        ({}, "digits", 0.3, 0.1),  # at least a tenth of a point
        ({}, "digits", math.nan, 0.1),
        ({"margin_share": 0.1}, "digits", 4.0, 0.4),
        ({"margin": 0.3}, "digits", 4.0, 0.3),
        ({"margin": {"digits": 0.3}}, "digits", 4.0, 0.3),
        ({"margin": {"digits": 0.3}}, "mnist", 4.0, 0.8),
    ],
)
def test_margins_are_points_or_a_share_of_the_error(statistics, dataset, error, margin):
    assert StatisticsOptions(**statistics).margin_of(dataset, error) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ({"margin": {"mnist": 0.3}}, "statistics.margin: unknown data set 'mnist'"),
        ({"margin": {"digits": True}}, "statistics.margin: a number is expected for digits, but this is true"),
        ({"margin": -1}, "statistics.margin: input should be greater than 0"),
        ({"margin": {"digits": 0}}, "statistics.margin.digits: input should be greater than 0"),
        ({"margin_share": 1}, "statistics.margin_share: input should be less than 1"),
    ],
)
def test_wrong_margins_are_named(statistics, message):
    raw = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["conv"], "seeds": [0]}
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(raw | {"statistics": statistics})


def test_the_old_spelling_of_results_is_read_and_has_the_same_identity():
    old, new = (Regularizer(name="correlation", mode=mode) for mode in ("normalised", "normalized"))
    assert old == new
    assert new.mode == "normalized"
    assert new.identity() == old.identity()
    assert new.identity()["mode"] == "normalised"  # as in the hashes of results
    timed = [ThroughputOptions.model_validate({key: False}) for key in ("optimised", "optimized")]
    assert timed[0] == timed[1] != ThroughputOptions()
    assert timed[1].model_dump()["optimized"] is False
    assert "optimized" not in timed[1].identity()
    assert timed[1].identity()["optimised"] is False
    with pytest.raises(ValueError, match="optimised"):
        ThroughputOptions.model_validate({"optimised": False, "optimized": True})
