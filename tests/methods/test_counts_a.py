"""Basis, BSConv, Ghost and HetConv: parameters and MACs by formula and as run, refusals, options."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

import linconv
from linconv.config import Variant
from linconv.layers import UnsupportedConvError
from linconv.layers.methods import check_methods, method_class
from linconv.methods.basis import BasisConv2d, LinearBasisConv2d
from linconv.methods.bsconv import BSConvS2d, BSConvU2d
from linconv.methods.ghost import GhostConv2d
from linconv.methods.hetconv import HetConv2d

ALL = {n: method_class(n) for n in ("basis", "basis_linear", "bsconv_s", "bsconv_u", "ghost", "hetconv")}

# c = 256, N = 512, k = 3, with bias
PARAMETERS = [
    (BasisConv2d, {}, 128 * 128 * 9 + 2 * 128 * 512 + 2 * 2 * 128 + 128 + 512),
    (BasisConv2d, {"slice_channels": 64, "filters": 32}, 32 * 64 * 9 + 4 * 32 * 512 + 2 * 4 * 32 + 32 + 512),
    (LinearBasisConv2d, {}, 128 * 128 * 9 + 2 * 128 * 512 + 512),
    (BSConvU2d, {}, 256 * 512 + 512 * 9 + 512),
    (BSConvS2d, {}, 64 * (256 + 512) + 512 * 9 + 512),
    (BSConvS2d, {"mid_ratio": 0.125}, 32 * (256 + 512) + 512 * 9 + 512),
    (GhostConv2d, {}, 256 * 256 * 9 + 256 * 9 + 2 * 512 + 512),
    (GhostConv2d, {"ratio": 4, "cheap_size": 5}, 128 * 256 * 9 + 3 * 128 * 25 + 2 * 512 + 512),
    (HetConv2d, {}, 256 * 512 * 9 // 4 + 256 * 512 * 3 // 4 + 512),
    (HetConv2d, {"part": 2}, 256 * 512 * 9 // 2 + 256 * 512 // 2 + 512),
]


@pytest.mark.parametrize(("cls", "options", "expected"), PARAMETERS)
def test_parameters_are_those_of_the_formula(cls, options, expected):
    layer = cls(256, 512, 3, device="meta", **options)
    assert sum(p.numel() for p in layer.parameters()) == layer.params_expected == expected
    assert {p.device.type for p in layer.parameters()} == {"meta"}


def test_the_subspace_of_few_channels_has_four_dimensions_or_as_many_as_there_are():
    assert [BSConvS2d(c, 8, 3).mid_channels for c in (3, 4, 9, 17, 64)] == [3, 4, 4, 5, 16]
    assert BSConvS2d(100, 8, 3, mid_ratio=0.07).mid_channels == 7


# Stages for c = 6, N = 9, a 3x2 kernel at stride 2: 8x9 inputs, 4x5 outputs
MACS = [
    (BasisConv2d, {"slice_channels": 4, "filters": 5}, (2 * 5 * 4 * 6 * 20, 9 * 10 * 20)),
    (LinearBasisConv2d, {"slice_channels": 3, "filters": 5}, (2 * 5 * 3 * 6 * 20, 9 * 10 * 20)),
    (BSConvU2d, {}, (6 * 9 * 72, 9 * 6 * 20)),
    (BSConvS2d, {}, (4 * 6 * 72, 4 * 9 * 72, 9 * 6 * 20)),
    (GhostConv2d, {}, (5 * 36 * 20, 4 * 9 * 20)),
    (GhostConv2d, {"ratio": 4}, (3 * 36 * 20, 6 * 9 * 20)),
    (HetConv2d, {"part": 3}, (9 * 2 * 6 * 20, 9 * 6 * 20)),
    (HetConv2d, {}, (12 * 2 * 6 * 20, 9 * 6 * 20)),  # 6 inputs fill 4 groups of 2, 9 filters 4 of 3
]


@pytest.mark.parametrize(("cls", "options", "expected"), MACS)
def test_macs_are_those_that_run(cls, options, expected):
    layer = cls(6, 9, (3, 2), stride=2, padding=1, **options).eval()
    x = torch.randn(1, 6, 8, 9)
    assert layer.output_size(x.shape[-2:]) == (4, 5)
    assert tuple(stage.macs for stage in layer.stages(20, 72)) == expected
    with FlopCounterMode(display=False) as counter:
        assert layer(x).shape == (1, 9, 4, 5)
    assert counter.get_total_flops() == 2 * sum(expected)
    assert layer.macs_at("folded", (4, 5), (8, 9)).per_image == (9 * 36 * 20 if cls.folds else sum(expected))


REFUSED = [
    *((cls, (8, 8, 3), {"groups": 2}, "groups=2") for cls in ALL.values()),
    *((cls, (8, 8, 1), {}, "1x1") for name, cls in ALL.items() if name != "ghost"),
    (GhostConv2d, (8, 1, 3), {}, "at least 2 filters"),
    (HetConv2d, (3, 8, 3), {}, "part=4 needs as many inputs, not 3"),
]


@pytest.mark.parametrize(("cls", "arguments", "more", "reason"), REFUSED)
def test_what_cannot_be_replaced_is_refused_and_stays_plain(cls, arguments, more, reason):
    with pytest.raises(UnsupportedConvError, match=reason):
        cls(*arguments, **more)
    name = next(name for name, other in ALL.items() if other is cls)
    model = nn.Sequential(
        nn.Conv2d(*arguments, **more), nn.Conv2d(arguments[1], 8, 3) if arguments[1] > 1 else nn.ReLU()
    )
    linconv.convert(model, Variant(layer=name))
    assert type(model[0]) is nn.Conv2d
    assert type(model[1]) in (cls, nn.ReLU)


WRONG = [
    (BasisConv2d, {"slice_channels": 0}, "slice_channels must be an int of at least 1, not 0"),
    (LinearBasisConv2d, {"filters": 1.5}, "filters must be an int of at least 1, not 1.5"),
    (BSConvS2d, {"mid_ratio": 1.5}, r"mid_ratio must be a number in \(0, 1\], not 1.5"),
    (BSConvS2d, {"mid_ratio": 0}, r"mid_ratio must be a number in \(0, 1\], not 0"),
    (BSConvS2d, {"min_mid_channels": 0}, "min_mid_channels must be an int of at least 1, not 0"),
    (GhostConv2d, {"ratio": 1}, "ratio must be an int of at least 2, not 1"),
    (GhostConv2d, {"cheap_size": 2}, "cheap_size must be an odd int of at least 1, not 2"),
    (HetConv2d, {"part": 1}, "part must be an int of at least 2, not 1"),
    (HetConv2d, {"part": True}, "part must be an int of at least 2, not True"),
]


@pytest.mark.parametrize(("cls", "options", "message"), WRONG)
def test_a_wrong_option_names_its_value_and_its_range(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(8, 8, 3, **options)


@pytest.mark.parametrize("name", ALL)
def test_a_torchvision_network_is_converted_and_its_macs_counted(name):
    check_methods({name: Variant(layer=name)})
    with torch.device("meta"):
        model = linconv.convert(resnet18(), Variant(layer=name, skip_first=True))
    replaced = [m for m in model.modules() if isinstance(m, ALL[name])]
    assert len(replaced) == (19 if name == "ghost" else 16)  # 3 of its convolutions are 1x1 shortcuts
    counted = linconv.complexity(model.eval(), (3, 64, 64))
    assert counted.params == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 64, 64, device="meta"))
    assert counter.get_total_flops() == 2 * counted.macs_auto
