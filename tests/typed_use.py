"""What people write, for the type checker of `make lint`: it knows variants, methods and their options."""

from __future__ import annotations

from torch import nn

import linconv

tucker = linconv.Variant(layer="tucker", options={"in_rank": 0.5})
model: nn.Module = linconv.convert(nn.Conv2d(8, 8, 3), "tucker", in_rank=0.5)
linear = linconv.config.Variant(layer="linear", options={"rank": 3}, include=["a"])
linconv.summary(linconv.fold(linconv.convert(model, tucker)), (8, 9, 9))
wrong = linconv.Variant(layer=3)  # type: ignore[arg-type]  # were this accepted, the comment would be an error
