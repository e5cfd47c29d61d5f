"""The networks: their size, their layers, and that a variant changes its convolutions alone."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from linconv import LinearConv2d, convert
from linconv.catalogue.networks import NETWORKS
from linconv.config import VARIANTS, Variant
from linconv.models import build_model

# Table 1 of the paper: millions of parameters as printed, for conv, Lr and LRr.
TABLE1 = {
    "base": ("0.40", "0.23", "0.21"),
    "vgg11": ("9.23", "4.92", "4.65"),
    "allconv": ("1.37", "0.74", "0.70"),
    "resnet18": ("11.17", "6.03", "5.64"),
    "resnext29": ("9.13", "6.48", "4.71"),
    "mobilenetv2": ("2.30", "3.92", "1.35"),
}
PAPER = (*TABLE1, "squeezenet")  # the networks whose layers and widths are known; another network joins the other tests
RANK = 10


def convolutions(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | LinearConv2d)}


def replaceable(architecture: str) -> dict[str, nn.Module]:
    plain = NETWORKS[architecture].plain
    return {n: m for n, m in convolutions(build_model(architecture)).items() if n not in plain}


def saved_params(conv: nn.Module, rank: int | None) -> int:
    """By how much LinearConv shrinks one layer, from the paper's formulas."""
    n, d = conv.out_channels, conv.weight[0].numel()
    p = n // 2
    s = n - p
    coefficients = s * p if rank is None else min(rank, p) * (s + p)
    return n * d - (p * d + coefficients)


@pytest.mark.parametrize("architecture", TABLE1)
@pytest.mark.parametrize(("column", "variant", "rank"), [(0, "conv", None), (1, "Lr", None), (2, "LRr", RANK)])
def test_params_are_those_of_table_1(architecture: str, column: int, variant: str, rank: int | None) -> None:
    params = sum(p.numel() for p in build_model(architecture).parameters())
    if variant != "conv":
        params -= sum(saved_params(conv, rank) for conv in replaceable(architecture).values())
    assert f"{params / 1e6:.2f}" == TABLE1[architecture][column]
    assert sum(p.numel() for p in build_model(architecture, variant).parameters()) == params


@pytest.mark.parametrize(("variant", "params"), [("conv", 727_626), ("L", 495_594), ("LRr", 397_226)])
def test_squeezenet_params(variant: str, params: int) -> None:
    assert sum(p.numel() for p in build_model("squeezenet", variant).parameters()) == params


@pytest.mark.parametrize(("architecture", "macs"), [("vgg11", "152.8"), ("resnet18", "555.4")])
def test_macs_of_the_plain_network(architecture: str, macs: str) -> None:
    model = build_model(architecture).eval()
    counted = []

    def count(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counted.append(output.numel() * module.weight[0].numel())

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    assert f"{sum(counted) / 1e6:.1f}" == macs


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("num_classes", [10, 100])
def test_output_shape(architecture: str, in_channels: int, num_classes: int) -> None:
    model = build_model(architecture, num_classes=num_classes, in_channels=in_channels).eval()
    with torch.no_grad():
        assert model(torch.randn(2, in_channels, 32, 32)).shape == (2, num_classes)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_larger_images_are_accepted(architecture: str) -> None:
    with torch.no_grad():
        assert build_model(architecture).eval()(torch.randn(1, 3, 48, 64)).shape == (1, 10)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_convolutions_run_in_order_of_registration(architecture: str) -> None:
    model, order = build_model(architecture).eval(), []
    for name, conv in convolutions(model).items():
        conv.register_forward_hook(lambda *_, name=name: order.append(name))
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 32))
    assert order == list(convolutions(model))


@pytest.mark.parametrize("architecture", PAPER)
def test_which_networks_have_biases_and_relu_modules(architecture: str) -> None:
    model = build_model(architecture)
    with_bias = architecture in {"base", "vgg11", "allconv", "squeezenet"}
    assert {conv.bias is not None for conv in convolutions(model).values()} == {with_bias}
    has_relu_modules = any(isinstance(m, nn.ReLU) for m in model.modules())
    assert has_relu_modules == (architecture in {"base", "vgg11"})  # what the paper's FLOP column counts


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_variant_differs_in_its_convolutions_alone(architecture: str) -> None:
    plain, variant = build_model(architecture), build_model(architecture, "LRr")
    before, after = dict(plain.named_modules()), dict(variant.named_modules())
    replaced = replaceable(architecture)
    assert {n for n, m in after.items() if isinstance(m, LinearConv2d)} == set(replaced)
    for name, module in before.items():
        assert name in after
        if name not in replaced:
            assert type(after[name]) is type(module)
            assert after[name].extra_repr() == module.extra_repr()
            continue
        for fact in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            assert getattr(after[name], fact) == getattr(module, fact), (name, fact)
        assert (after[name].bias is None) == (module.bias is None)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_injection_and_conversion_give_the_same_network(architecture: str) -> None:
    build, plain = NETWORKS[architecture].load(), NETWORKS[architecture].plain
    with torch.device("meta"):
        injected = build(conv=functools.partial(LinearConv2d, rank=RANK))
    converted = convert(build(), "LRr", exclude=plain)
    shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (injected, converted)]
    assert shapes[0] == shapes[1]
    assert list(shapes[0]) == list(shapes[1])


@pytest.mark.parametrize("architecture", NETWORKS)
def test_every_parameter_gets_a_gradient(architecture: str) -> None:
    torch.manual_seed(0)
    model = build_model(architecture, "L")
    model(torch.randn(2, 3, 32, 32)).logsumexp(1).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_allconv_drops_in_training_only() -> None:
    model, x = build_model("allconv"), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))


def test_allconv_scores_are_not_clipped_at_zero() -> None:
    with torch.no_grad():
        assert build_model("allconv").eval()(torch.randn(4, 3, 32, 32)).min() < 0


def test_as_released_pads_one_layer_of_the_allconv_variants_and_nothing_else() -> None:
    ours, released = (convolutions(build_model("allconv", "Lr", as_released=flag)) for flag in (False, True))
    assert [n for n in ours if ours[n].padding != released[n].padding] == ["features.conv8"]
    assert (ours["features.conv8"].padding, released["features.conv8"].padding) == ((0, 0), (1, 1))
    plain = convolutions(build_model("allconv", as_released=True))
    assert {n: c.padding for n, c in plain.items()} == {n: c.padding for n, c in ours.items()}


def test_as_released_is_refused_where_there_is_no_quirk() -> None:
    with pytest.raises(ValueError, match="vgg11 has no quirk"):
        build_model("vgg11", "Lr", as_released=True)


def test_unknown_names_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'vgg11'"):
        build_model("vgg12")
    with pytest.raises(ValueError, match="did you mean 'LRr'"):
        build_model("vgg11", "LRR")


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_catalogue_knows_the_widest_convolution(architecture: str) -> None:
    widest = max(conv.out_channels for conv in replaceable(architecture).values())
    assert widest == NETWORKS[architecture].widest


@pytest.mark.parametrize("architecture", PAPER)
@pytest.mark.parametrize("target", ["LRr", 0.5, *(pytest.param(t, marks=pytest.mark.slow) for t in ("L", 0.25))])
def test_a_narrow_network_has_the_parameters_asked_for_within_a_percent(architecture, target):
    with torch.device("meta"):
        narrow = build_model(architecture, Variant(layer="conv", narrow_to=VARIANTS.get(target, target)))
        plain = build_model(architecture)
        own = isinstance(target, float)
        wanted = target * parameters(plain) if own else parameters(build_model(architecture, target))
    assert parameters(narrow) == pytest.approx(wanted, rel=0.01)
    widths = [(w.out_channels, p.out_channels) for w, p in zip(*map(plain_convolutions, (narrow, plain)), strict=True)]
    assert all((narrower < wider) == (wanted < parameters(plain)) for narrower, wider in widths if wider != 10)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def plain_convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d)]


def test_a_narrow_variant_is_built_and_not_converted():
    narrow = Variant(layer="conv", narrow_to=0.5)
    with pytest.raises(ValueError, match="a narrow variant is built, not converted"):
        convert(build_model("base"), narrow)
    images = torch.randn(2, 3, 32, 32)
    assert build_model("vgg11", narrow).eval()(images).shape == (2, 10)
    assert build_model("mobilenetv2", narrow).eval()(images).shape == (2, 10)
