"""A training step on a share of the batch whose other shares are in other processes.

The loss is a mean over the whole batch, so a share is weighted by the images that it has, and the penalties, which
every process computes from the same parameters, count once. Batch normalization takes mean and variance over all
shares (C. Peng et al., "MegDet: A Large Mini-Batch Object Detector", CVPR 2018, section 3.3).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from linconv.config import Recipe
from linconv.training.step import EagerStep

# Buffers are the same everywhere without being sent; newer versions of torch have another name for the option.
_IS_NEW = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OWN_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _IS_NEW else "broadcast_buffers": False}


class Part(NamedTuple):
    """The share of a batch: images `start` to `stop` of `whole`. `counted` is 0 where it only stands in for an empty
    one, else their number."""

    start: int
    stop: int
    counted: int
    whole: int


class _Sharing(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def part(self) -> Part: ...


class SharedStep(EagerStep):
    """`EagerStep` whose gradient is that of the whole batch.

    Args:
        team: knows the current share.
    """

    def __init__(
        self,
        team: _Sharing,
        model: nn.Module,
        forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
    ) -> None:
        super().__init__(model, self._logits, optimizer, recipe)
        self._team = team
        self._parallel: DistributedDataParallel | None = None
        self._images = 0  # of whole batches: a third of one is no number that a float holds

    def _logits(self, x: Tensor) -> Tensor:
        if self._parallel is None:  # at the first step, where all processes are: it copies the first one's parameters
            self._parallel = DistributedDataParallel(self.model, **_OWN_BUFFERS)
        with WholeBatch(self._team.part):
            logits: Tensor = self._parallel(x)
        return logits

    def _mean_loss(self, logits: Tensor, y: Tensor) -> tuple[Tensor, float]:
        self._images += self._team.part.whole
        share = self._team.part.whole / self._team.size  # the parallel model takes the mean over the processes
        return F.cross_entropy(logits, y, reduction="sum") / share, share

    def _read_sums(self) -> list[float]:
        with torch.no_grad():
            sums = self._sums.clone()
            dist.all_reduce(sums)
        loss, right, _, penalty, steps = sums.tolist()
        images, self._images = self._images, 0
        return [loss, right, images, penalty, steps]


class WholeBatch(TorchFunctionMode):
    """Within it, batch normalization and dropout do with a share what they would do with it in the whole batch."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self._part = part

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if func in _DROPOUTS:
            return self._dropout(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        if self._part.whole * x[:1, :1].numel() == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")
        y, mean, var, count = _SharedNorm.apply(x, weight, bias, eps, self._part.counted > 0)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (count / (count - 1))).to(running_var.dtype), momentum)
        return y

    def _dropout(self, func: Any, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """Every process draws for the whole batch and keeps what concerns its share, so their generators go alike."""
        if not training:
            return x
        layout = torch.channels_last if _is_channels_last(x) else torch.contiguous_format
        ones = x.new_ones((self._part.whole, *x.shape[1:])).contiguous(memory_format=layout)
        scales: Tensor = func(ones, p, True)[self._part.start : self._part.stop]
        return x.mul_(scales) if inplace else x * scales


_DROPOUTS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d}


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _SharedNorm(torch.autograd.Function):
    """Batch normalization of x (b, c, ...) with mean and variance over the shares of all processes.

    A share that is not counted is normalized as the others and changes nothing.

    Returns:
        the output; mean (c,), biased variance (c,) and number of values per channel () of the whole batch.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, counted: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        dims = [d for d in range(x.dim()) if d != 1]
        var, mean = torch.var_mean(x.to(wide), dims, correction=0)
        count = torch.full_like(mean[:1], x.numel() // x.shape[1] if counted else 0)
        own = torch.cat([mean, var, count])
        shares = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(shares, own)
        means, variances, counts = torch.stack(shares).split([len(mean), len(mean), 1], 1)
        count = counts.sum()
        parts = counts / count
        mean = (parts * means).sum(0)
        var = (parts * (variances + (means - mean) ** 2)).sum(0)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.counted, ctx.bias_dtype = eps, counted, None if bias is None else bias.dtype
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
        ctx.mark_non_differentiable(mean, var, count)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        along = [1, -1, *[1] * (x.dim() - 2)]
        dims = [d for d in range(x.dim()) if d != 1]
        dy = gradients[0].to(mean.dtype)
        centered = x.to(mean.dtype) - mean.view(along)
        own = torch.stack([dy.sum(dims), (dy * centered).sum(dims)])
        inverse = (var + ctx.eps).rsqrt()
        both = own.clone()
        dist.all_reduce(both)
        shift, slope = both / count
        scale = inverse if weight is None else inverse * weight
        scale = scale * ctx.counted  # what stands in moved neither mean nor variance
        dx = (dy - shift.view(along) - centered * (slope * inverse**2).view(along)) * scale.view(along)
        dweight = None if weight is None else (own[1] * inverse).to(weight.dtype)
        dbias = None if ctx.bias_dtype is None else own[0].to(ctx.bias_dtype)
        return dx.to(x.dtype), dweight, dbias, None, None
