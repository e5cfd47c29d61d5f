"""How the layers here compute the golden cases: the source's tensors by name -> the outputs that the source gave."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.layers import SparsitySchedule, method_class, orthogonal_penalty
from tests.golden import Case, Outputs
from tests.golden.penalties import penalty

Inputs = dict[str, Tensor]


def layer(case: Case, method: str | None = None) -> Any:
    """A layer of the case in double precision, in evaluation mode unless the case trains."""
    made = method_class(method or case.method)(**case.arguments, dtype=torch.float64, **case.options)
    return made.train(case.more.get("training", False))


def run(module: Any, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """The output with these parameters and buffers, through which gradients pass."""
    return torch.func.functional_call(module, parameters, (x,))


def matrix(pointwise: Tensor) -> Tensor:
    """(M, K, 1, 1) -> (M, K)."""
    return pointwise[:, :, 0, 0]


def twice(maps: Tensor) -> Tensor:
    """Every pixel repeated over 2x2."""
    return maps.repeat_interleave(2, -1).repeat_interleave(2, -2)


def bias(given: Inputs, theirs: str, ours: str = "bias") -> dict[str, Tensor]:
    """The bias, where the source has one."""
    return {ours: given[theirs]} if theirs in given else {}


def fitted(case: Case, filters: Tensor) -> Any:
    """The layer that starts from given filters."""
    conv = torch.nn.Conv2d(**case.arguments, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.copy_(filters)
    return method_class(case.method).from_conv2d(conv, **case.options)


def octconv(case: Case, given: Inputs) -> Outputs:
    high = [given["conv_h2h.weight"]]
    low = [given["conv_h2l.weight"]]
    x = given["high"]
    if "low" in given:
        x = torch.cat([x, twice(given["low"])], 1)
        high.append(given["conv_l2h.weight"])
        low.append(given["conv_l2l.weight"])
    out = run(layer(case), {"filters": torch.cat([torch.cat(high, 1), torch.cat(low, 1)])}, x)
    split = len(high[0])
    return {"high": out[:, :split], "low": out[:, split:, ::2, ::2]}


def atoms(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    parameters = {
        "atoms": given["basis"].view(made.atoms.shape),
        "coefficients": given["coefs"].view(made.coefficients.shape),
    }
    return {"output": run(made, parameters | bias(given, "bias"), given["x"])}


def versatile(case: Case, given: Inputs) -> Outputs:
    return {"output": run(layer(case), {"filters": given["weight"], "bias": given["bias"]}, given["x"])}


def bsconv_u(case: Case, given: Inputs) -> Outputs:
    parameters = {"mixing": matrix(given["pw.weight"]), "blueprints": given["dw.weight"]}
    return {"output": run(layer(case), parameters | bias(given, "dw.bias"), given["x"])}


def bsconv_s(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    parameters = {
        "projection": matrix(given["pw1.weight"]),
        "mixing": matrix(given["pw2.weight"]),
        "blueprints": given["dw.weight"],
    } | bias(given, "dw.bias")
    return {"output": run(made, parameters, given["x"]), "penalty": penalty(made, parameters, orthogonal_penalty)}


def lowrank(case: Case, given: Inputs) -> Outputs:
    if "x" in given:
        parameters = {"filters": given["conv_u.weight"], "combination": matrix(given["conv_v.weight"])}
        return {"output": run(layer(case), parameters, given["x"])}
    made = fitted(case, given["weight"])
    basis, combination = made.filters.flatten(1), made.combination
    squares = {"square of combination": combination @ combination.T, "square of basis": basis.T @ basis}
    return {"filters": made.weight} | squares


def basis(case: Case, given: Inputs) -> Outputs:
    statistics = {f"norm.{name}": given[f"norm.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
    parameters = {"filters": given["basis.weight"], "combination": matrix(given["conv.weight"])} | statistics
    own = bias(given, "basis.bias", "filter_bias") | bias(given, "conv.bias")
    return {"output": run(layer(case), parameters | own, given["x"])}


def basis_linear(case: Case, given: Inputs) -> Outputs:
    parameters = {"filters": given["conv.0.basis_weight"], "combination": matrix(given["conv.1.weight"])}
    return {"output": run(layer(case), parameters | bias(given, "conv.1.bias"), given["x"])}


def ghost(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    cheap = len(made.cheap_filters)
    parameters = {"filters": given["primary_conv.0.weight"], "cheap_filters": given["cheap_operation.0.weight"][:cheap]}
    for name in ("weight", "bias", "running_mean", "running_var"):
        parameters[f"norm.{name}"] = given[f"primary_conv.1.{name}"]
        parameters[f"cheap_norm.{name}"] = given[f"cheap_operation.1.{name}"][:cheap]
    return {"output": run(made, parameters, given["x"])}


def hetconv(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    p, n, c = made.part, made.out_channels, made.in_channels
    weight = torch.zeros(n, c, 3, 3, dtype=torch.float64)
    if case.more["form"] == "blocks":
        # block g of the source's contiguous groups holds the filters and inputs g, g + p, ... here
        out = torch.arange(n).view(n // p, p).T.flatten()
        into = torch.arange(c).view(c // p, p).T.flatten()
        group = torch.arange(n)[:, None] // (n // p) == torch.arange(c)[None] // (c // p)
        kernels = torch.where(group[..., None, None], given["gwc.weight"].repeat(1, p, 1, 1), 0)
        points = torch.where(group[..., None, None], 0, given["pwc.weight"])
        weight = weight.index_put((out[:, None], into[None]), kernels + F.pad(points, (1, 1, 1, 1)))
        output = run(made, hetconv_parameters(made, weight), given["x"][:, into.argsort()])
        return {"output": output[:, out]}
    rows = []
    for n_ in range(n):
        own = [j for j in range(c) if (j - n_) % p == 0]
        row = torch.zeros(c, 3, 3, dtype=torch.float64).index_put(
            (torch.tensor(own),), given[f"blocks.{n_}.0.weight"][0]
        )
        others = torch.tensor([j for j in range(c) if j not in own])
        rows.append(row.index_put((others,), F.pad(given[f"blocks.{n_}.1.weight"][0], (1, 1, 1, 1))))
    return {"output": run(made, hetconv_parameters(made, torch.stack(rows)), given["x"])}


def hetconv_parameters(made: Any, weight: Tensor) -> dict[str, Tensor]:
    """The layer's parameters for filters (N, c, 3, 3) of its structure."""
    pairs = weight.flatten(0, 1)
    return {"kernels": pairs[made.kernels_at][:, None], "points": pairs[made.points_at][:, 1, 1][:, None]}


def tucker(case: Case, given: Inputs) -> Outputs:
    if "x" in given:
        factors = {"in_factor": given["in_factor"].T, "out_factor": given["out_factor"]}
        return {"output": run(layer(case), factors | {"core": given["core"]}, given["x"])}
    filters = fitted(case, given["weight"]).weight
    return {"filters": filters, "error": (filters - given["weight"]).norm().reshape(1)}


def cp(case: Case, given: Inputs) -> Outputs:
    parameters = {
        "out_factor": given["out_factor"],
        "in_factor": given["in_factor"].T,
        "vertical": given["vertical"].T[:, None, :, None],
        "horizontal": given["horizontal"].T[:, None, None, :],
    }
    return {"output": run(layer(case), parameters, given["x"])}


def wconv(case: Case, given: Inputs) -> Outputs:
    parameters = {"filters": given["weight"]} | bias(given, "bias")
    if "den" in given:
        parameters["density"] = given["den"].flip(0)
    return {"output": run(layer(case), parameters, given["x"])}


def dcls(case: Case, given: Inputs) -> Outputs:
    made, positions = layer(case), given["P"]
    if case.more.get("projected"):
        with torch.no_grad():
            made.positions.copy_(positions)
        made.project_()
        return {"clamped": made.positions}
    if case.more.get("rounded"):
        positions = positions.round() + (positions - positions.detach())
    parameters = {"values": given["weight"], "positions": positions} | bias(given, "bias")
    return {"output": run(made, parameters, given["x"])}


class Given(torch.nn.Module):
    """Gives what it was made with, whatever its input."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: Tensor) -> Tensor:
        return self.value


def dynamic(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    made.mix = Given(given["routing"])
    shape = made.filters.shape
    return {"output": run(made, {"filters": given["weight"].view(shape)}, given["x"])}


def linear(case: Case, given: Inputs) -> Outputs:
    made = layer(case)
    names = {"conv_weights": "primary_filters", "linear_weights": "coefficients.weight", "bias": "bias"}
    names |= {"column_weights": "coefficients.left", "row_weights": "coefficients.right"}
    parameters = {names[name]: value for name, value in given.items() if name != "x"}
    if "calls" not in case.more:
        made.mode = "weight"
        output = run(made, parameters, given["x"])
        if "feature" in made.forms:
            made.mode = "feature"
            torch.testing.assert_close(run(made, parameters, given["x"]), output, rtol=0, atol=1e-12)
        return {"output": output}
    made.load_state_dict(parameters, strict=False)
    schedule = SparsitySchedule(made, period=case.more["period"], step_size=case.more["step_size"])
    found = {}
    for call in range(1, case.more["calls"] + 1):
        schedule.step()
        if call % case.more["period"] == 0:
            found[f"mask {call // 2}"] = made.coefficients.mask.double()
            found[f"threshold {call // 2}"] = torch.tensor([*schedule.thresholds.values()], dtype=torch.float64)
    return found | {"output": made(given["x"])}


LAYERS = {
    function.__name__: function
    for function in (
        *(atoms, basis, basis_linear, bsconv_s, bsconv_u, cp, dcls, dynamic, ghost, hetconv, linear, lowrank),
        *(octconv, tucker, versatile, wconv),
    )
}
