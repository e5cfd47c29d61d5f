"""The registry of methods: names without torch, classes, options held to their signatures, hashes of their code."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from linconv import convert, fold
from linconv.config import ConfigError, Variant, parse_config, plan_runs, resolve_run
from linconv.config import methods as registry
from linconv.config.errors import UserError
from linconv.config.methods import known_methods, method_version
from linconv.config.parts import variant_parts
from linconv.config.runs import ResolvedRun
from linconv.layers import ConvReplacement, UnsupportedConvError, check_methods, method_class
from linconv.layers.methods import options_of
from linconv.results.code import code_hash, forget

EXAMPLE = Path(__file__).parents[2] / "docs/examples/mirrored"


def config(variant: dict) -> dict:
    raw = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["X"], "seeds": [0]}
    return raw | {"define": {"X": variant}}


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The documentation's example as an installed package; its module's file."""
    module = tmp_path / "mirrored.py"
    module.write_text((EXAMPLE / "mirrored.py").read_text(encoding="utf-8"), encoding="utf-8")
    info = tmp_path / "mirrored-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mirrored\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[linconv.methods]\nmirrored = mirrored:MirroredConv2d\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    known_methods.cache_clear()
    method_class.cache_clear()
    forget()
    yield module
    sys.modules.pop("mirrored", None)
    known_methods.cache_clear()
    method_class.cache_clear()
    forget()


def test_an_unknown_layer_or_option_is_one_message_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"define\.X\.layer: unknown layer 'lowrnk'; did you mean 'lowrank'\?"):
        parse_config(config({"layer": "lowrnk"}))
    parsed = parse_config(config({"layer": "lowrank", "options": {"rnk": 3}}))
    with pytest.raises(UserError, match=r"^define\.X\.options\.rnk: .* has no option 'rnk'; did you mean 'rank'"):
        check_methods(parsed.planned_variants)
    with pytest.raises(ValueError, match="layer 'lowrank' has no option 'rnk'"):
        convert(nn.Conv2d(4, 4, 3), Variant(layer="lowrank"), rnk=3)
    parsed = parse_config(config({"layer": "lowrank", "options": {"rank": 1.5}}))
    with pytest.raises(UserError, match=r"^define\.X\.options\.rank: rank must be an int of at least 1"):
        check_methods(parsed.planned_variants)


def test_a_regularizer_on_what_the_layer_does_not_have_is_refused():
    class Bare(ConvReplacement):
        folds = False

        def build(self, factory):
            pass

        def reset_parameters(self):
            pass

    parsed = parse_config(config({"layer": "lowrank", "regularizers": [{"name": "orthogonal"}]}))
    check_methods(parsed.planned_variants)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linconv.layers.methods.method_class", lambda name: Bare)
        with pytest.raises(UserError, match="orthogonal would act on nothing: layer 'lowrank' has no primaries"):
            check_methods(parsed.planned_variants)


def test_a_start_from_given_filters_can_be_counted_without_numbers():
    with torch.device("meta"):
        model = convert(nn.Conv2d(16, 8, 3), Variant(layer="lowrank", options={"init": "svd", "rank": 2}))
    assert model.params_expected == 2 * (16 * 9 + 8) + 8


def test_a_refused_convolution_stays_plain_and_the_log_says_why(caplog):
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3))
    convert(model, Variant(layer="lowrank"), init=method_class("lowrank").inits[0])
    assert type(model[0]) is nn.Conv2d
    assert isinstance(model[1], method_class("lowrank"))
    assert [(r.levelname, r.message) for r in caplog.records] == [
        (
            "WARNING",
            "convert: 1 of 2 convolutions replaced by LowRankConv2d; 1 left plain (0): LowRankConv2d replaces "
            "convolutions with groups=1 only, not groups=2",
        )
    ]


def test_options_of_a_method_survive_a_round_trip_and_decide_the_hash():
    def run(rank):
        parsed = parse_config(config({"layer": "lowrank", "options": {"rank": rank}}))
        return resolve_run(parsed, plan_runs(parsed)[0])

    assert ResolvedRun.model_validate_json(run(0.5).model_dump_json()) == run(0.5)
    assert run(0.5).hash != run(0.25).hash


def test_a_package_brings_a_method_and_its_code_decides_its_hash(mirrored):
    assert known_methods()["mirrored"].target == "mirrored:MirroredConv2d"
    assert method_version("mirrored") == "mirrored 1.0"
    assert method_version("lowrank") is None
    model = convert(nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 5, 3)).double(), Variant(layer="mirrored"))
    assert type(model[1]) is nn.Conv2d  # five filters: refused
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(fold(model)(x), model(x), rtol=0, atol=1e-12)
    assert model[0].params_expected == 3 * 4 * 9 + 6
    parts = variant_parts(Variant(layer="mirrored"))
    before = code_hash("run", parts)
    mirrored.write_text(mirrored.read_text(encoding="utf-8").replace("flip(self.axis)", "flip(0)"), encoding="utf-8")
    forget()
    assert code_hash("run", parts) != before


def test_a_broken_package_is_one_message(mirrored):
    mirrored.write_text("import nothing_of_that_name", encoding="utf-8")
    with pytest.raises(UserError, match=r"the method 'mirrored' \(mirrored:MirroredConv2d\) cannot be imported"):
        method_class("mirrored")
    method_class.cache_clear()
    mirrored.write_text("MirroredConv2d = int", encoding="utf-8")
    sys.modules.pop("mirrored", None)
    with pytest.raises(UserError, match=r"is no subclass of linconv\.layers\.ConvReplacement"):
        method_class("mirrored")


def test_two_packages_with_one_name_are_refused(monkeypatch):
    entries = [metadata.EntryPoint("lowrank", "elsewhere:Other", registry.GROUP)]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda **_: entries)
    known_methods.cache_clear()
    with pytest.raises(ValueError, match=r"the method 'lowrank' is both .* and elsewhere:Other"):
        known_methods()
    known_methods.cache_clear()


def test_the_default_from_conv2d_of_a_method_that_refuses_says_so():
    with pytest.raises(UnsupportedConvError):
        method_class("lowrank").from_conv2d(nn.Conv2d(8, 8, 3, groups=8))
    assert options_of(method_class("lowrank")) == {"rank": 0.5, "freeze_basis": False, "init": "matched"}
