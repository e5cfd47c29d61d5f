"""Filter atoms: the formula, the start from given filters, counts, budgets."""

import pytest
import torch
from torch import nn

from linconv.methods.atoms import AtomsConv2d
from tests.methods.common import (
    GEOMETRIES,
    POINTWISE,
    by_hand,
    count,
    in_millions,
    measured,
    same_outputs_and_gradients,
    stages,
)

OPTIONS = [{"atoms": 9, "freeze_basis": True}]
REFUSED = [(POINTWISE, {}, "1x1")]

DOUBLE = {"dtype": torch.float64}


@pytest.mark.parametrize("geometry", [*GEOMETRIES, {"kernel_size": 3, "padding": 1, "groups": 2, "stride": 2}])
def test_every_kernel_is_a_combination_of_the_atoms(geometry):
    torch.manual_seed(0)
    layer = AtomsConv2d(4, 6, atoms=3, **geometry, **DOUBLE)
    x = torch.randn(2, 4, 9, 8, **DOUBLE, requires_grad=True)
    plain = nn.Conv2d(4, 6, **geometry, **DOUBLE)
    by_kernel = [
        [sum(a * psi[0] for a, psi in zip(layer.coefficients[n, i], layer.atoms, strict=True)) for i in range(c)]
        for n, c in enumerate([plain.weight.shape[1]] * 6)
    ]
    weight = torch.stack([torch.stack(row) for row in by_kernel])
    values = {"weight": weight} | ({} if layer.bias is None else {"bias": layer.bias})
    expected = torch.func.functional_call(plain, values, (x,))
    same_outputs_and_gradients(layer(x), expected, [x, layer.atoms, layer.coefficients])


def test_new_atoms_are_orthonormal_and_filters_have_the_scale_of_plain_ones():
    torch.manual_seed(0)
    layer = AtomsConv2d(64, 256, 3, atoms=4, **DOUBLE)
    rows = layer.atoms.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(4, **DOUBLE))
    assert float(layer.weight.detach().std()) == pytest.approx((3 * 64 * 9) ** -0.5, rel=0.02)


def test_svd_keeps_as_much_of_given_kernels_as_their_singular_values_say():
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 8, 3, **DOUBLE)
    full = AtomsConv2d.from_conv2d(conv, atoms=9, init="svd")
    torch.testing.assert_close(full.weight, conv.weight)
    values = torch.linalg.svdvals(conv.weight.detach().reshape(40, 9))
    for atoms in (1, 4):
        layer = AtomsConv2d.from_conv2d(conv, atoms=atoms, init="svd")
        torch.testing.assert_close((layer.weight - conv.weight).norm(), values[atoms:].norm())
    few = nn.Conv2d(1, 2, 3, **DOUBLE)  # two kernels need two atoms
    torch.testing.assert_close(AtomsConv2d.from_conv2d(few, atoms=4, init="svd").weight, few.weight)


def test_frozen_atoms_do_not_learn():
    layer = AtomsConv2d(4, 6, 3, freeze_basis=True)
    assert [name for name, p in layer.named_parameters() if not p.requires_grad] == ["atoms"]


def test_counts_follow_the_formula():
    layer = AtomsConv2d(12, 10, 3, atoms=4)
    assert count(layer) == 4 * 12 * 10 + 4 * 9 + 10
    assert stages(layer, (7, 5), (7, 5)) == (12 * 4 * 9 * 35, 4 * 12 * 10 * 35)
    assert [len(AtomsConv2d(4, 4, 3, atoms=atoms).atoms) for atoms in (0.5, 1.0, 20)] == [4, 9, 9]


def atoms(c, n, k, inputs, pixels):
    return 4 * c * n + 4 * k**2, (4 * c * k**2 + 4 * c * n) * pixels


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("4.11", "70.9")), ("resnet18", ("5.07", "268.0"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "atoms")
    assert counted == by_hand(architecture, atoms)
    assert in_millions(*counted) == budget
