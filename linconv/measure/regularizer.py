"""What the correlation regulariser costs: a training step without it and with it, and the penalty alone.

The penalty is timed as implemented, and in the straightforward form for comparison: centre, normalise, V V^T, absolute
value, sum, with automatic differentiation through all of it. A pruned variant is timed as what the cut leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from linconv.config import Variant
from linconv.config.errors import UserError
from linconv.config.parts import grid_parts
from linconv.layers.regularizers import On, filters_of, total
from linconv.measure.machine import machine_state
from linconv.measure.network import measured_network
from linconv.measure.origin import origin
from linconv.measure.steps import TrainingSteps, recipe_of
from linconv.measure.timing import Call, interleave
from linconv.results.code import code_hash
from linconv.results.provenance import hardware
from linconv.results.regularizer import (
    BY_AUTOGRAD,
    PENALTY,
    STEP,
    STEP_AGAIN,
    STEP_WITH,
    RegularizerResult,
    TimedCall,
)
from linconv.training.numerics import set_numerics
from linconv.training.penalties import penalty_terms
from linconv.training.step import Term


def measure_regularizer(
    architecture: str,
    name: str,
    variant: Variant,
    *,
    batch_size: int,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    channels_last: bool = False,
    rounds: int = 15,
    block_seconds: float = 0.05,
    cell_seconds: float = 60,
    device: str,
    threads: int | None,
    command: str,
) -> RegularizerResult:
    """Time the correlation regulariser of a variant on one network; nothing else should run on the machine.

    Args:
        name: of the variant.
        rounds, block_seconds, cell_seconds: see `linconv.measure.timing.interleave`.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None takes all cores.
        command: the command line that repeats this.

    Raises:
        UserError: the variant has no correlation regulariser.
    """
    regularizer = next((r for r in variant.regularizers if r.name == "correlation"), None)
    if regularizer is None:
        raise UserError(f"variant '{name}' has no correlation regulariser; one that has is 'Lr'")
    set_numerics(threads or hardware()["cores"], deterministic=False)
    began, before = time.perf_counter(), machine_state(device)
    (term,) = penalty_terms((regularizer,))

    def build() -> nn.Module:
        return measured_network(
            architecture,
            variant,
            input_shape=input_shape,
            classes=classes,
            device=device,
            channels_last=channels_last,
        )

    def step(due: tuple[Term, ...] = ()) -> Call:
        steps = TrainingSteps(
            build(),
            recipe_of(architecture, batch_size),
            input_shape=input_shape,
            classes=classes,
            device=device,
            channels_last=channels_last,
        )
        return steps.with_terms(due)

    model = build()
    on = regularizer.acts_on
    arms = {
        STEP: step(),
        STEP_AGAIN: step(),
        STEP_WITH: step((term,)),
        PENALTY: _both_passes(model, term.penalty),
        BY_AUTOGRAD: _both_passes(build(), lambda network: penalty_by_autograd(network, on)),
    }
    samples = interleave(
        arms, rounds=rounds, block_seconds=block_seconds, cell_seconds=cell_seconds, device=device
    )  # fmt: skip
    return RegularizerResult(
        architecture=architecture,
        variant=name,
        batch_size=batch_size,
        period=regularizer.period,
        filters=[(len(filters), filters[0].numel()) for _, _, filters in filters_of(model, on)],
        input_shape=input_shape,
        classes=classes,
        channels_last=channels_last,
        device=device,
        rounds_wanted=rounds,
        block_seconds=block_seconds,
        code_hash=code_hash("regularizer", grid_parts([architecture], [variant])),
        arms=[TimedCall(name=n, calls=s.calls, seconds_per_call=tuple(s.seconds)) for n, s in samples.items()],
        machine={"before": before, "after": machine_state(device)},
        provenance=origin(device, command, began, channels_last=channels_last),
    )


def penalty_by_autograd(model: nn.Module, on: On = "primaries") -> Tensor:
    """The sum over layers and pairs i != j of |corr_ij| as one writes it down; NaN where a filter is constant."""
    sums = []
    for _, _, filters in filters_of(model, on):
        rows = filters.flatten(1)
        centred = rows - rows.mean(dim=1, keepdim=True)
        unit = centred / centred.norm(dim=1, keepdim=True)
        sums.append((unit @ unit.T - torch.eye(len(unit), dtype=unit.dtype, device=unit.device)).abs().sum())
    return total(model, sums)


def _both_passes(model: nn.Module, penalty: Callable[[nn.Module], Tensor]) -> Call:
    def call() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        penalty(model).backward()

    return call
