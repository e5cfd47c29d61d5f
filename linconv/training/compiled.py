"""A network whose forward pass is compiled, with its errors told to the user."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.training.numerics import compiled


class Compiled(nn.Module):
    """`model` with a compiled forward pass, on the same parameters. It never falls back to the plain one.

    Raises:
        UserError: when called, where the network cannot be compiled as a whole.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # one program per shape of batch, of which there are few: sizes that vary make slower programs
        self.compiled = compiled(model, fullgraph=True, dynamic=False)

    def forward(self, x: Tensor) -> Tensor:
        try:
            out: Tensor = self.compiled(x)
        except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"compile: this network cannot be compiled ({reason}); use false") from error
        return out
