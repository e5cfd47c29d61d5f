"""The warehouse: the formula, what the layers of a network share and keep shared, the start from filters, counts."""

import copy
import io
import math

import pytest
import torch
from torch import nn

from linconv import complexity, convert, fold
from linconv.config import Variant
from linconv.layers import warm_start_init
from linconv.methods.warehouse import WarehouseConv2d
from linconv.models import build_model
from linconv.models.narrow import count_expected
from tests.methods.common import count, measured

OPTIONS = [{"cells": 3, "split": 1}]

DOUBLE = {"dtype": torch.float64}


def network(**options):
    """Two layers of 3x3 filters, of 8 x 4 and 12 x 8, after a plain stem; one of 1x1."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.Conv2d(12, 6, 1),
    ).double()
    return convert(model, Variant(layer="warehouse", skip_first=True, options=options))


def images():
    return torch.randn(2, 3, 7, 6, **DOUBLE)


def test_filters_are_put_together_of_combinations_of_cells():
    torch.manual_seed(0)
    layer = WarehouseConv2d(6, 4, 3, cells=3, **DOUBLE)
    cells = layer.warehouse.cells.unflatten(0, (3, -1))
    assert cells.shape == (3, 2, 3, 3, 3)
    blocks = [sum(a * e for a, e in zip(row, cells, strict=True)) for row in layer.mixing]
    weight = torch.cat([torch.cat(blocks[:2], 1), torch.cat(blocks[2:], 1)])
    torch.testing.assert_close(layer.weight, weight)


def test_the_layers_of_a_network_share_one_warehouse_for_each_kernel_size():
    model = network()
    three, other, point = model[1], model[3], model[4]
    assert three.warehouse is other.warehouse is not point.warehouse
    assert three.warehouse.shape == (2, 2, 3, 3)  # half of gcd(8, 12) = 4 and of gcd(4, 8) = 4
    assert (len(three.mixing), len(other.mixing)) == (8, 24)
    size, blocks = 36, 32
    assert three.warehouse.count == blocks * size // 2 // (size + blocks)
    own = sum(count(module) for module in (model[0], three, other, point)) - three.warehouse.cells.numel()
    assert count(model) == count_expected(model) == own
    assert three.warehouse.cells.numel() + 32 * three.warehouse.count <= (8 * 4 + 12 * 8) * 9 / 2


def test_one_step_changes_the_filters_of_every_layer_by_what_both_ask_for():
    model, x = network(), images()
    cells = model[1].warehouse.cells
    (together,) = torch.autograd.grad(model(x).square().sum(), cells)
    apart = copy.deepcopy(model)
    apart[3].warehouse = copy.deepcopy(apart[3].warehouse)
    both = torch.autograd.grad(apart(x).square().sum(), [apart[1].warehouse.cells, apart[3].warehouse.cells])
    torch.testing.assert_close(together, sum(both))
    assert all(part.count_nonzero() for part in both)


def shared(model) -> bool:
    return model[1].warehouse.cells is model[3].warehouse.cells


def test_copies_states_and_devices_keep_it_shared():
    model, x = network(), images()
    expected = model(x)
    copied = copy.deepcopy(model)
    assert shared(copied)
    assert copied[1].warehouse.cells is not model[1].warehouse.cells
    torch.testing.assert_close(copied(x), expected)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    with torch.device("meta"):
        empty = network()
    assert shared(empty)
    empty.to_empty(device="cpu")
    assert shared(empty)
    empty.load_state_dict(state)
    torch.testing.assert_close(empty(x), expected)
    with torch.device("meta"):
        assigned = network()
    assigned.load_state_dict(state, assign=True)
    assert shared(assigned)
    torch.testing.assert_close(assigned(x), expected)
    assert shared(model.float())


def test_folded_layers_are_plain_and_counted_once():
    model, x = network().eval(), images()
    folded = fold(model)
    assert not any(isinstance(module, WarehouseConv2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), model(x))
    assert complexity(model, (3, 7, 6)).params_folded == count(folded)


def test_new_filters_have_the_scale_of_those_that_each_layer_replaces():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 32, 3)).double()
    with torch.no_grad():
        plain[0].weight.mul_(5)
    wanted = [conv.weight.std() for conv in plain]
    for layer, scale in zip(convert(plain, Variant(layer="warehouse")), wanted, strict=True):
        torch.testing.assert_close(layer.weight.std(), scale)


def test_frozen_filters_share_with_none_that_learn():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)).eval()
    model[1].weight.requires_grad_(False)
    convert(model, Variant(layer="warehouse"))
    assert model[0].warehouse is model[2].warehouse is not model[1].warehouse
    assert not model[1].mixing.requires_grad
    assert not model[1].warehouse.cells.requires_grad
    assert not any(module.training for module in model.modules())
    biases = [model[0].bias, model[2].bias]
    assert all(bias.requires_grad for bias in biases)


def test_svd_is_exact_with_enough_cells_and_the_best_of_all_layers_below():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 12, 3)).double()
    whole = convert(copy.deepcopy(plain), Variant(layer="warehouse", options={"cells": 1000, "init": "svd"}))
    for layer, conv in zip(whole, plain, strict=True):
        torch.testing.assert_close(layer.weight, conv.weight)
        torch.testing.assert_close(layer.bias, conv.bias)
    few = convert(copy.deepcopy(plain), Variant(layer="warehouse", options={"cells": 5, "init": "svd"}))
    blocks = [cut(conv.weight.detach()) / conv.weight.detach().square().mean().sqrt() for conv in plain]
    left = torch.linalg.svdvals(torch.cat(blocks))[5:].norm()
    errors = [
        (layer.weight - conv.weight).norm() / conv.weight.square().mean().sqrt()
        for layer, conv in zip(few, plain, strict=True)
    ]
    torch.testing.assert_close(torch.stack(errors).norm(), left)


def cut(weight):
    """(N, c, 3, 3) into blocks of 2 x 2 kernels, as rows."""
    return torch.stack([block.flatten() for rows in weight.split(2) for block in rows.split(2, dim=1)])


def test_a_warm_start_takes_the_filters():
    assert warm_start_init(Variant(layer="warehouse", warm_start=0.5)) == "svd"


def by_blocks(layers, share=0.5):
    """Parameters of the replaced layers, (c, N) each, by the formula."""
    rows, columns = math.gcd(*(n for _, n in layers)) // 2, math.gcd(*(c for c, _ in layers)) // 2
    size = rows * columns * 9
    blocks = sum(c * n * 9 for c, n in layers) // size
    cells = int(share * blocks * size / (size + blocks))
    return cells * (size + blocks), cells * sum(c * n * 9 for c, n in layers)


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_network_has_the_budget_counted_by_hand(share):
    layers = [(64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    params, macs_per_step = by_blocks(layers, share)
    plain, plain_macs = plain_vgg11()
    replaced = sum(c * n * 9 for c, n in layers)
    assert measured("vgg11", "warehouse", {"cells": share}) == (
        plain - replaced + params,
        plain_macs + macs_per_step,
    )
    assert params == pytest.approx(share * replaced, rel=0.02)


def plain_vgg11():
    with torch.device("meta"):
        counted = complexity(build_model("vgg11", Variant(layer="conv")), (3, 32, 32))
    return counted.params, counted.macs_folded


def test_counting_leaves_the_cells_where_they_are():
    model, x = network().eval(), images()
    expected = model(x)
    complexity(model, (3, 7, 6))
    assert shared(model)
    torch.testing.assert_close(model(x), expected)
