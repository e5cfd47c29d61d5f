"""The correlation penalty against the definition, its gradient against autograd's, and the L1 term."""

import pytest
import torch
from torch import nn

from linconv import (
    LinearConv2d,
    build_model,
    coefficient_l1,
    conv_orthogonal_penalty,
    convert,
    correlation_penalty,
    orthogonal_penalty,
)
from linconv.layers.regularizers import abs_correlation_sum


class Penalty(nn.Module):
    """The penalty of a layer as a module, for functional_call."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self):
        return correlation_penalty(self.layer)


def by_definition(filters):
    """sum_ij |corr_ij - I_ij| from torch.corrcoef."""
    return (torch.corrcoef(filters) - torch.eye(len(filters), dtype=filters.dtype)).abs().sum()


@pytest.mark.parametrize("shape", [(2, 5), (7, 27), (32, 27), (16, 200)])
def test_value_and_gradient_equal_the_definition(shape):
    torch.manual_seed(0)
    filters = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected = by_definition(filters)
    (want,) = torch.autograd.grad(3 * expected, filters)
    found = abs_correlation_sum(filters)
    (have,) = torch.autograd.grad(3 * found, filters)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(have, want, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("constant", [False, True])
def test_both_derivatives_by_finite_differences(constant):
    torch.manual_seed(1)
    filters = torch.randn(4, 9, dtype=torch.float64)
    if constant:
        filters[1] = 0.5  # centered exactly 0
    inputs = (filters.requires_grad_(), 1e-3)  # above the step, so that a constant filter stays one
    assert torch.autograd.gradcheck(abs_correlation_sum, inputs)
    assert torch.autograd.gradgradcheck(abs_correlation_sum, inputs)


def test_constant_filters_count_as_uncorrelated_and_get_no_gradient():
    filters = torch.randn(4, 9)
    filters[1], filters[2] = 0.0, 0.7
    filters.requires_grad_()
    total = abs_correlation_sum(filters)
    total.backward()
    expected = 2 * torch.corrcoef(filters.detach()[[0, 3]])[0, 1].abs()
    torch.testing.assert_close(total.detach(), expected)
    assert torch.isfinite(filters.grad).all()
    assert filters.grad[1:3].abs().max() == 0


def test_memory_between_the_passes_is_the_filters_and_a_number_per_pair_and_filter():
    filters = torch.randn(64, 576, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        abs_correlation_sum(filters)
    extra = [t for t in saved if t.data_ptr() != filters.data_ptr()]
    assert sum(t.numel() for t in extra) == 64 * 64 + 64


def test_filters_far_from_zero_in_single_precision():
    torch.manual_seed(0)
    exact = torch.randn(16, 200, dtype=torch.float64) + 10 * torch.randn(16, 1, dtype=torch.float64)
    filters = exact.float().requires_grad_()
    abs_correlation_sum(filters).backward()
    exact.requires_grad_()
    by_definition(exact).backward()
    assert (filters.grad - exact.grad).norm() < 5e-6 * exact.grad.norm()


def test_filters_in_channels_last_are_read_as_they_lie():
    torch.manual_seed(0)
    layer = LinearConv2d(8, 12, 3)
    value = correlation_penalty(layer)
    (gradient,) = torch.autograd.grad(value, layer.primary_filters)
    layer.to(memory_format=torch.channels_last)
    copies = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: copies.append(t.data_ptr()) or t, lambda t: t):
        again = correlation_penalty(layer)
    again.backward()
    torch.testing.assert_close(again, value)
    torch.testing.assert_close(layer.primary_filters.grad, gradient)
    assert layer.primary_filters.data_ptr() in copies
    assert layer.primary_filters.grad.is_contiguous(memory_format=torch.channels_last)


def test_modes_over_a_model_and_the_models_without_primaries():
    torch.manual_seed(0)
    model = convert(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 12, 3), nn.Conv2d(12, 2, 1)), "Lr")
    totals = [by_definition(model[i].primary_filters.detach().flatten(1)) for i in (0, 1)]  # the third has 1 primary
    assert correlation_penalty(model).item() == pytest.approx(sum(t.item() for t in totals), rel=1e-5)
    means = [totals[0].item() / (8 * 7), totals[1].item() / (6 * 5)]
    assert correlation_penalty(model, "normalised").item() == pytest.approx(sum(means) / 2, rel=1e-5)
    plain = correlation_penalty(nn.Conv2d(3, 4, 3))
    assert plain.item() == 0
    with pytest.raises(ValueError, match="'paper' or 'normalized'"):
        correlation_penalty(model, "mean")


# lambda times the sum at initialization, as the sum of the paper's definition comes out for these networks
@pytest.mark.parametrize(("architecture", "start"), [("vgg11", 43), ("resnet18", 101), ("resnext29", 680)])
def test_the_sum_starts_far_above_the_cross_entropy(architecture, start):
    torch.manual_seed(0)
    assert 0.01 * correlation_penalty(build_model(architecture, "Lr")).item() == pytest.approx(start, rel=0.03)


def test_full_precision_under_autocast_and_for_half_filters():
    filters = torch.randn(8, 64)
    expected = abs_correlation_sum(filters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(abs_correlation_sum(filters), expected)
    assert abs_correlation_sum(filters.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_in_full_precision_where_it_is_taken_under_autocast(create_graph):
    torch.manual_seed(0)
    filters = torch.randn(8, 64, requires_grad=True)
    (expected,) = torch.autograd.grad(abs_correlation_sum(filters), filters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(abs_correlation_sum(filters), filters, create_graph=create_graph)
    torch.testing.assert_close(found.detach(), expected)


def test_vmap_over_seeds():
    filters = torch.randn(3, 6, 20, dtype=torch.float64)
    together = torch.func.vmap(torch.func.grad(abs_correlation_sum))(filters)
    one_by_one = torch.stack([torch.func.grad(abs_correlation_sum)(f) for f in filters])
    torch.testing.assert_close(together, one_by_one)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_vmap_of_a_models_penalty_over_seeds(layout):
    torch.manual_seed(0)
    layers = [LinearConv2d(8, 12, 3).to(memory_format=layout) for _ in range(3)]
    state, _ = torch.func.stack_module_state(layers)
    state = {name: value.detach() for name, value in state.items()}
    model = Penalty(layers[0])
    together = torch.func.vmap(lambda s: torch.func.functional_call(model, {f"layer.{k}": v for k, v in s.items()}, ()))
    torch.testing.assert_close(together(state), torch.stack([correlation_penalty(layer) for layer in layers]).detach())


def test_minimizing_it_decorrelates():
    torch.manual_seed(0)
    layer = LinearConv2d(8, 16, 3)
    optimizer = torch.optim.Adam([layer.primary_filters], 1e-3)
    start = correlation_penalty(layer, "normalized").item()
    for _ in range(200):
        optimizer.zero_grad()
        correlation_penalty(layer).backward()
        optimizer.step()
    assert correlation_penalty(layer, "normalized").item() < 0.2 * start


def test_l1_sums_sparse_coefficients_only():
    model = nn.Sequential(LinearConv2d(3, 8, 3, sparsity=0.5), LinearConv2d(8, 8, 3))
    assert coefficient_l1(model).item() == pytest.approx(model[0].coefficients.weight.abs().sum().item())
    assert coefficient_l1(model[1]).item() == 0


@pytest.mark.parametrize("penalty", [correlation_penalty, coefficient_l1, orthogonal_penalty, conv_orthogonal_penalty])
def test_a_penalty_that_acts_on_nothing_says_so(penalty):
    with pytest.warns(UserWarning, match=f"{penalty.__name__}: the model has no .*; the penalty is 0"):
        assert penalty(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).item() == 0


@pytest.mark.parametrize("penalty", [correlation_penalty, orthogonal_penalty, conv_orthogonal_penalty])
def test_penalties_of_the_meta_device_have_gradients(penalty):
    layer = LinearConv2d(3, 8, 3, device="meta")
    penalty(nn.Sequential(nn.Conv2d(3, 3, 1, device="meta"), layer)).backward()
    assert layer.primary_filters.grad.is_meta
