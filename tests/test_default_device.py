"""Everything works on a model on the CPU under another default device.

The default is "meta" here, where tensors have no values; users set "cuda".
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import linconv
from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.methods import METHODS
from linconv.config import Pruning
from linconv.layers import fitting_init, method_class
from linconv.pruning import channel_groups, cut_channels, make_criterion, make_plan, pruned_network
from linconv.testing import check_method

SHAPE = (8, 12, 12)


def network() -> nn.Sequential:
    layers = [nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


@pytest.fixture
def given():
    """A plain network, a converted one and a batch, all on the CPU, when the default is another device."""
    torch.manual_seed(0)
    plain, x = network(), torch.randn(4, *SHAPE)
    converted = linconv.convert(network(), "LRr", init="least_squares")
    sparse = linconv.convert(network(), "LSr", init="least_squares")
    batches = [(x, torch.zeros(4, dtype=torch.long))]
    torch.set_default_device("meta")
    yield {"plain": plain, "converted": converted, "sparse": sparse, "x": x, "batches": batches}
    torch.set_default_device(None)


def on_cpu(model: nn.Module, x: torch.Tensor) -> None:
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"cpu"}
    assert bool(model(x).isfinite().all())


def saved(given: dict[str, Any], path: Any) -> None:
    linconv.save(given["converted"], path / "model.safetensors")
    on_cpu(linconv.load(path / "model.safetensors"), given["x"])


def exported(given: dict[str, Any], path: Any) -> None:
    linconv.export_onnx(given["plain"], given["x"], path / "model.onnx")
    linconv.quantize_onnx(path / "model.onnx", given["x"], path / "small.onnx")


def penalized(given: dict[str, Any], path: Any) -> None:
    for penalty in (
        linconv.correlation_penalty,
        linconv.orthogonal_penalty,
        linconv.conv_orthogonal_penalty,
    ):
        assert penalty(given["converted"]).device.type == "cpu"
    assert linconv.coefficient_l1(given["sparse"]).device.type == "cpu"
    linconv.never_orthogonal(given["converted"])


def made_sparse(given: dict[str, Any], path: Any) -> None:
    schedule = linconv.SparsitySchedule(given["sparse"], period=1, step_size=0.2)
    for _ in range(3):
        schedule.step()
    on_cpu(given["sparse"], given["x"])


def pruned(given: dict[str, Any], path: Any) -> None:
    on_cpu(pruned_network(given["plain"], SHAPE, 0.7, exclude=["3", "6"]), given["x"])
    groups = channel_groups(given["plain"], SHAPE, exclude=["6"])
    cut_channels(given["plain"], groups, [torch.arange(5, device="cpu") for _ in groups])
    on_cpu(given["plain"], given["x"])


def planned(given: dict[str, Any], path: Any) -> None:
    for budget in ({"params": 0.8}, {"macs": 0.9}):
        on_cpu(linconv.plan(given["plain"], SHAPE, **budget).apply(given["plain"]), given["x"])
    found = linconv.plan(given["plain"], SHAPE, params=0.8, loss=F.cross_entropy, batches=given["batches"])
    on_cpu(found.apply(given["plain"]), given["x"])


CALLS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "fold": lambda g, _: on_cpu(linconv.fold(g["converted"]), g["x"]),
    "optimize": lambda g, _: on_cpu(linconv.optimize(g["converted"], g["x"]), g["x"]),
    "set_mode": lambda g, _: on_cpu(linconv.set_mode(g["converted"], "feature"), g["x"]),
    "replaced_layers": lambda g, _: linconv.replaced_layers(g["converted"]),
    "complexity": lambda g, _: linconv.complexity(g["converted"], SHAPE),
    "summary": lambda g, _: linconv.summary(g["converted"], SHAPE),
    "sensitivity": lambda g, _: linconv.sensitivity(g["plain"], F.cross_entropy, g["batches"], "LRr"),
    "plan": planned,
    "save": saved,
    "export_onnx": exported,
    "correlation_penalty": penalized,
    "SparsitySchedule": made_sparse,
    "pruned_network": pruned,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_works_on_a_model_on_the_cpu(given, tmp_path, name):
    CALLS[name](given, tmp_path)


@pytest.mark.parametrize("layer", METHODS)
def test_a_method_replaces_layers_on_the_cpu(given, layer):
    options = [{}] + [{"init": init} for init in method_class(layer).fits]
    for more in options:
        model = linconv.convert(given["plain"], layer, inplace=False, **more)
        assert linconv.replaced_layers(model) == ["0", "3"]
        on_cpu(model, given["x"])
        if all(module.folds for module in (model[0], model[3])):
            on_cpu(linconv.fold(model.eval()), given["x"])
    init = fitting_init(linconv.Variant(layer=layer))
    assert init is None or {"init": init} in options


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_criterion_prunes_a_network_on_the_cpu(given, criterion):
    model, x = given["plain"], given["x"]
    plan = make_plan(model, SHAPE, 0.7, exclude=["3", "6"])  # a batch norm follows the rest
    chooser = make_criterion(plan, Pruning(criterion=criterion))
    chooser.attach(model)
    for epoch in range(2):
        chooser.at_epoch(model, epoch, 2)
        assert bool((model(x).sum() + chooser.penalty(model)).isfinite())
    kept = chooser.choose(model, lambda: [x])
    chooser.fold(model)
    cut_channels(model, plan.groups, kept)
    on_cpu(model, x)


@pytest.mark.parametrize("layer", ["linear", "wconv", "hetconv"])
def test_the_checks_of_a_method_run_on_the_cpu(given, layer):
    assert not check_method(layer).failed
