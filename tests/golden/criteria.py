"""How the pruning criteria here compute the golden cases."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linconv.config import Pruning
from linconv.pruning import make_criterion
from linconv.pruning.betarank import beta_scores, deviations
from linconv.pruning.channels import Group, Member
from linconv.pruning.criterion import best
from linconv.pruning.dcff import FusedFilters, importances, log_proxies, seen, temperature
from linconv.pruning.l1 import filter_norms
from linconv.pruning.plan import Plan
from tests.golden import Case, Outputs

Inputs = dict[str, Tensor]


def plain(filters: Tensor, **arguments: object) -> nn.Conv2d:
    """A convolution without bias with these filters."""
    shape = {"in_channels": filters.shape[1], "out_channels": filters.shape[0], "kernel_size": tuple(filters.shape[2:])}
    conv = nn.Conv2d(**shape | {"bias": False} | arguments, dtype=torch.float64)
    conv.weight.data = filters
    return conv


def l1(case: Case, given: Inputs) -> Outputs:
    norms = filter_norms(plain(given["weight"]))
    return {"norms": norms, "kept": best(norms, case.more["left"]).double()}


def betarank(case: Case, given: Inputs) -> Outputs:
    conv = plain(given["weight"], **case.arguments)
    halves = given["x"].split(2)  # batches of several sizes give what one gives
    scores = beta_scores(conv, deviations(conv, [("", conv)], lambda: halves)[""])
    return {"scores": (scores - scores.min()) / (scores.max() - scores.min())}


def dcff(case: Case, given: Inputs) -> Outputs:
    options, epochs = Pruning(criterion="dcff"), case.more["epochs"]
    at = {e: temperature(options.schedule, *options.temperatures, e, epochs) for e in range(epochs)}
    if "schedule" in case.more:
        return {"temperatures": torch.tensor([at[e] for e in case.more["schedule"]], dtype=torch.float64)}
    weight, now = given["weight"], at[case.more["epoch"]]
    live = torch.zeros(weight.shape[1], dtype=torch.bool)
    live[case.more.get("live", slice(None))] = True
    filters = seen(weight, live)
    kept = (
        torch.tensor(case.more["rows"]) if "rows" in case.more else best(importances(filters, now), case.more["left"])
    )
    fusion = FusedFilters(len(kept), len(live)).double()
    fusion.rows.copy_(kept)
    fusion.live.copy_(live)
    fusion.temperature.fill_(now)
    x = torch.where(live[:, None, None], given["x"], 0)
    found = {
        "proxies": log_proxies(filters, kept, now).exp(),
        "output": plain(fusion(weight), **case.arguments)(x)[:, kept],
        "temperature": torch.tensor([now], dtype=torch.float64),
    }
    return found if "rows" in case.more else found | {"kept": kept.double()}


def masksparsity(case: Case, given: Inputs) -> Outputs:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, 6, 1), nn.BatchNorm2d(6)
            self.conv2, self.bn2 = nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4)

    model = Chain().double()
    model.bn1.weight.data, model.bn2.weight.data = given["bn1"], given["bn2"]
    groups = tuple(
        Group(
            f"conv{i}", size, tuple(Member(f"{kind}{i}", "out", *[torch.arange(size)] * 2) for kind in ("conv", "bn"))
        )
        for i, size in ((1, 6), (2, 4))
    )
    chooser = make_criterion(Plan(groups, tuple(case.more["left"])), Pruning(criterion="masksparsity"))
    chooser.attach(model)
    chooser.at_epoch(model, 3, 4)
    (chooser.penalty(model) * chooser.penalty_weight).backward()
    return {"grad bn1": model.bn1.weight.grad, "grad bn2": model.bn2.weight.grad}


CRITERIA = {function.__name__: function for function in (betarank, dcff, l1, masksparsity)}
