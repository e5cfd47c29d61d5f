"""Conversion and folding, on models nobody here wrote."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import prune
from torchvision.models.feature_extraction import create_feature_extractor

from linconv import LinearConv2d, convert, fold, set_mode
from linconv.config import VARIANTS, LinearOptions, Variant

TORCHVISION = {
    "resnet50": {},
    "mobilenet_v3_small": {},
    "densenet121": {},
    "googlenet": {"aux_logits": False, "init_weights": False},
    "regnet_y_400mf": {},
    "convnext_tiny": {},
    "deeplabv3_resnet50": {"weights_backbone": None},
}


def tensors(output):
    return list(output.values()) if isinstance(output, dict) else [output]


def relative_error(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.parametrize("variant", [pytest.param("L", marks=pytest.mark.slow), "LRr"])
def test_torchvision_models_convert_train_a_step_and_fold(name, variant):
    torch.manual_seed(0)
    model = convert(torchvision.models.get_model(name, weights=None, **TORCHVISION[name]), variant)
    kinds = {type(m) for m in model.modules()}
    assert LinearConv2d in kinds
    assert all(m.out_channels == 1 for m in model.modules() if type(m) is nn.Conv2d), "one filter has no primary"
    model = model.double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)

    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    before = [p.detach().clone() for p in model.parameters()]
    tensors(model.train()(x))[0].square().mean().backward()
    optimizer.step()
    layers = [m for m in model.modules() if isinstance(m, LinearConv2d)]
    assert all(m.primary_filters.grad is not None for m in layers)
    assert sum(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)) > 0.9 * len(before)

    model.eval()
    plain = fold(model)
    assert not any(isinstance(m, LinearConv2d) for m in plain.modules())
    assert any(isinstance(m, LinearConv2d) for m in model.modules()), "folding leaves the original alone"
    with torch.no_grad():
        for ours, folded in zip(tensors(model(x)), tensors(plain(x)), strict=True):
            assert torch.isfinite(ours).all()
            assert relative_error(folded, ours) < 1e-10


def small():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3, groups=32)),
        nn.Flatten(),
    )


def converted(model):
    return [name for name, m in model.named_modules() if isinstance(m, LinearConv2d)]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, ["0", "1.0", "1.2"]),
        ({"skip_first": True}, ["1.0", "1.2"]),
        ({"skip_last": True}, ["0", "1.0"]),
        ({"skip_first": True, "skip_last": True}, ["1.0"]),
        ({"include": ["1.*"], "skip_last": True}, ["1.0"]),
        ({"include": ["1.*"]}, ["1.0", "1.2"]),
        ({"exclude": ["1.*"]}, ["0"]),
        ({"include": ["0", "1.0"], "exclude": ["0"]}, ["1.0"]),
        # D > P: 27 > 8; 16 = 16; 9 < 16
        ({"only_where_saves": True}, ["0"]),
    ],
)
def test_selection(selection, expected):
    assert converted(convert(small(), "L", **selection)) == expected
    variant = Variant(layer="linear", options=LinearOptions(), **selection)
    assert converted(convert(small(), variant)) == expected


def test_skip_last_keeps_the_classifier_of_a_network_without_a_linear_layer():
    with torch.device("meta"):
        models = [(torchvision.models.squeezenet1_1(), "classifier.1")]
        models += [(torchvision.models.segmentation.fcn_resnet50(weights_backbone=None), "classifier.4")]
    for model, classifier in models:
        names = [name for name, m in model.named_modules() if type(m) is nn.Conv2d]
        assert converted(convert(model, "L", skip_last=True)) == [name for name in names if name != classifier]
        assert type(model.get_submodule(classifier)) is nn.Conv2d
    assert type(convert(nn.Conv2d(3, 8, 3), "L", skip_last=True, allow_nothing=True)) is nn.Conv2d


def test_only_where_saves_at_low_rank_compares_d_with_r_n_over_s():
    # 1x1, 16 -> 32: D = 16, r N / S = 8 * 2 = 16 saves nothing, 7 * 2 = 14 does
    for rank, names in [(8, []), (7, ["0"])]:
        model = nn.Sequential(nn.Conv2d(16, 32, 1))
        assert converted(convert(model, "L", rank=rank, only_where_saves=True, allow_nothing=True)) == names


def test_plain_variant_changes_nothing_and_unknown_names_are_refused():
    model = small()
    keys = list(model.state_dict())
    assert list(convert(model, "conv").state_dict()) == keys
    with pytest.raises(ValueError, match="unknown variant 'Lrr'; did you mean 'LRr'"):
        convert(model, "Lrr")
    with pytest.raises(ValueError, match=r"'features\.\*' matches no convolution"):
        convert(model, "L", include=["features.*"])
    with pytest.raises(ValueError, match="rank"):
        convert(model, "LRr", rank=-1)


def test_a_lone_convolution_a_shared_one_and_subclasses():
    layer = convert(nn.Conv2d(3, 8, 3), "L")
    assert isinstance(layer, LinearConv2d)
    assert type(fold(layer)) is nn.Conv2d

    shared = nn.Conv2d(4, 4, 3, padding=1)
    model = convert(nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)}), "L")
    assert model["a"] is model["b"][0]
    assert isinstance(model["a"], LinearConv2d)
    folded = fold(model)
    assert folded["a"] is folded["b"][0]

    twice = nn.Conv2d(4, 4, 3, padding=1)
    model = convert(nn.Sequential(twice, nn.ReLU(), twice), "L")
    assert isinstance(model[0], LinearConv2d)
    assert model[0] is model[2]
    by_second_name = nn.ModuleDict({"a": (conv := nn.Conv2d(4, 4, 3)), "b": nn.Sequential(conv)})
    assert isinstance(convert(by_second_name, "L", include=["b.*"])["a"], LinearConv2d)

    class Other(nn.Conv2d):
        pass

    parametrized = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
    pruned = prune.l1_unstructured(nn.Conv2d(4, 4, 3), "weight", amount=0.5)
    model = convert(nn.Sequential(Other(4, 4, 3), parametrized, pruned, nn.Conv2d(4, 1, 1)), "L", allow_nothing=True)
    assert converted(model) == []


def test_convolutions_whose_filters_overlap_in_memory_stay_plain(caplog):
    memory = torch.randn(12, 4, 3, 3)
    model = nn.Sequential(*(nn.Conv2d(4, 8, 3) for _ in range(3)), nn.Conv2d(4, 4, 3))
    for conv, start in zip(model, (0, 4, 0, 8), strict=True):
        if conv is not model[2]:
            conv.weight = nn.Parameter(memory[start : start + conv.out_channels])
    assert converted(convert(model, "L")) == ["2"]
    assert "it shares its parameters with another module" in caplog.text

    beside = torch.randn(16, 4, 3, 3)  # one memory, and no value in two layers
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3))
    for conv, filters in zip(model, beside.chunk(2), strict=True):
        conv.weight = nn.Parameter(filters)
    assert converted(convert(model, "L")) == ["0", "1"]
    assert converted(convert(nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3)).to("meta"), "L")) == ["0", "1"]


def test_hooks_and_lazy_layers_are_refused_before_anything_is_replaced():
    model = small()
    model[1][0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"1\.0 has hooks"):
        convert(model, "L")
    assert converted(model) == []
    assert converted(convert(model, "L", exclude=["1.0"])) == ["0", "1.2"]
    with pytest.raises(ValueError, match="0 is lazy"):
        convert(nn.Sequential(nn.LazyConv2d(4, 3)), "L")


def test_subclasses_of_the_layer_fold_and_every_layer_can_be_reset():
    class Mine(LinearConv2d):
        pass

    folded = fold(nn.Sequential(Mine(4, 8, 3)))
    assert type(folded[0]) is nn.Conv2d
    model = convert(small(), "LRr", init="variance_preserving")
    before = copy.deepcopy(model.state_dict())
    for module in model.modules():  # the usual idiom after to_empty() and for a fresh start
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert not torch.equal(before["0.coefficients.left"], model[0].coefficients.left)
    bound = (3 / model[0].coefficients.rank) ** 0.5
    assert 0.8 * bound < model[0].coefficients.left.abs().max() <= bound


def test_torchvision_feature_extraction_traces_converted_models():
    model = convert(torchvision.models.resnet18(weights=None), "LRr").eval()
    extractor = create_feature_extractor(model, ["layer1"])
    x = torch.randn(1, 3, 64, 64)
    assert extractor(x)["layer1"].shape == (1, 64, 16, 16)


def test_conversion_keeps_geometry_dtype_and_state():
    conv = (
        nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=2, groups=2, bias=False, padding_mode="reflect")
        .double()
        .eval()
    )
    layer = convert(conv, "LRr")
    assert (layer.primary_filters.dtype, layer.training, layer.bias) == (torch.float64, False, None)
    x = torch.randn(1, 4, 20, 20, dtype=torch.float64)
    assert layer(x).shape == conv(x).shape


def test_trained_weights_survive_a_conversion_from_least_squares():
    model = small()
    bank = model[0].weight.detach().clone()
    convert(model, "L", init="least_squares", primary_ratio=0.9)
    assert torch.nn.functional.cosine_similarity(model[0].weight.flatten(), bank.flatten(), dim=0) > 0.9


def test_set_mode_leaves_grouped_layers_in_weight_space():
    model = set_mode(convert(small(), "L"), "feature")
    assert [model[0].mode, model[1][0].mode, model[1][2].mode] == ["feature", "feature", "weight"]
    with pytest.raises(ValueError, match="mode must be one of"):
        set_mode(model, "fastest")


def test_frozen_parameters_stay_frozen_both_ways():
    conv = nn.Conv2d(4, 8, 3)
    conv.weight.requires_grad_(False)
    layer = convert(conv, "LRr")
    assert {n: p.requires_grad for n, p in layer.named_parameters()} == {
        "primary_filters": False,
        "coefficients.left": False,
        "coefficients.right": False,
        "bias": True,
    }
    folded = fold(layer)
    assert (folded.weight.requires_grad, folded.bias.requires_grad) == (False, True)


def test_every_variant_of_the_configuration_converts():
    for name, variant in VARIANTS.items():
        assert bool(converted(convert(small(), name))) == (variant.layer != "conv")
