"""What else of PyTorch a method works with: each tool is tried on a small network, as it is and folded."""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from linconv.layers import fold
from linconv.layers.geometry import in_channels_last
from linconv.testing.subject import Subject

YES, FOLDED, NO = "yes", "folded", "no"
SINGLE_PRECISION_TOLERANCE = 1e-4  # relative to the largest output, in single precision
INT8_TOLERANCE = 0.2

Tool = Callable[[nn.Module, Tensor], None]


def what_works(subject: Subject) -> dict[str, str]:
    """For each tool: "yes", "folded" where only the folded network works with it, or "no"."""
    return {name: works_with(subject, name) for name in TOOLS}


def works_with(subject: Subject, tool: str) -> str:
    """Whether a network of a method works with one of `TOOLS`."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model, x = _network(subject), torch.randn(2, 16, 12, 12)
        if _passes(TOOLS[tool], model, x):
            return YES
        return FOLDED if subject.cls.folds and _passes(TOOLS[tool], fold(model), x) else NO


def _network(subject: Subject) -> nn.Module:
    convs = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 24, 3, padding=1)
    first, second = (subject.cls.from_conv2d(conv, **_drawn(subject)) for conv in convs)
    return nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second).eval()


def _drawn(subject: Subject) -> dict[str, object]:
    return {**({"init": subject.cls.inits[0]} if subject.cls.inits else {}), **subject.options}


def _passes(tool: Tool, model: nn.Module, x: Tensor) -> bool:
    try:
        tool(copy.deepcopy(model), x)
    except Exception:  # whatever a tool raises that cannot
        return False
    return True


def _same(found: Tensor, wanted: Tensor, tolerance: float = SINGLE_PRECISION_TOLERANCE) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


def compiles(model: nn.Module, x: Tensor) -> None:
    """torch.compile in one graph, forward and backward; the backend without a C++ compiler."""
    torch._dynamo.reset()
    output = torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    _same(output, model(x))
    output.sum().backward()


def exports(model: nn.Module, x: Tensor) -> None:
    """torch.export for every batch and image size."""
    sizes: Any = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(model, (x,), dynamic_shapes=(sizes,)).module()
    for other in (x, torch.randn(3, 16, 14, 10)):
        _same(program(other), model(other))


def exports_to_onnx(model: nn.Module, x: Tensor) -> None:
    """torch.onnx.export, run by onnxruntime where that is installed, else by the reference of onnx."""
    _check_onnx(model, torch.onnx.export(model, (x,), dynamo=True, verbose=False), x)


def exports_to_onnx_for_any_batch(model: nn.Module, x: Tensor) -> None:
    """The same with a first dimension of any size."""
    sizes: Any = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False, dynamic_shapes=sizes)
    for images in (x, torch.randn(5, *x.shape[1:])):
        _check_onnx(model, program, images)


def _check_onnx(model: nn.Module, program: Any, x: Tensor) -> None:
    file = io.BytesIO()
    program.save(file)
    _same(torch.from_numpy(_run_onnx(file.getvalue(), x)), model(x))


def _run_onnx(model: bytes, x: Tensor) -> Any:
    try:
        import onnxruntime
    except ImportError:
        import onnx.reference

        evaluator: Any = onnx.reference.ReferenceEvaluator(model)
        return evaluator.run(None, {evaluator.input_names[0]: x.numpy()})[0]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def traces(model: nn.Module, x: Tensor) -> None:
    """torch.fx.symbolic_trace."""
    _same(torch.fx.symbolic_trace(model)(x), model(x))


def maps(model: nn.Module, x: Tensor) -> None:
    """torch.func: the gradients of each image by vmap."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(values: dict[str, Tensor], image: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(model, values, (image[None],))
        return output.square().sum()

    found: Any = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    wanted: Any = torch.func.grad(loss)(parameters, x[0])
    for name in parameters:
        _same(found[name][0], wanted[name]) if wanted[name].any() else None


def distributes(model: nn.Module, x: Tensor) -> None:
    """DistributedDataParallel, one process."""
    own = not dist.is_initialized()
    with tempfile.TemporaryDirectory() as folder:
        if own:
            dist.init_process_group("gloo", init_method=f"file://{Path(folder) / 'store'}", rank=0, world_size=1)
        try:
            nn.parallel.DistributedDataParallel(model.train())(x).sum().backward()
        finally:
            if own:
                dist.destroy_process_group()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def autocasts(model: nn.Module, x: Tensor) -> None:
    """A training step under autocast, to bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        output = model.train()(x)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def keeps_channels_last(model: nn.Module, x: Tensor) -> None:
    """channels_last in, channels_last out."""
    laid = copy.deepcopy(model).to(memory_format=torch.channels_last)
    output = laid(x.contiguous(memory_format=torch.channels_last))
    assert in_channels_last(output)
    _same(output, model(x))


def quantizes(model: nn.Module, x: Tensor) -> None:
    """Static quantization to int8 of every convolution, by the graph mode of torch.ao."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    prepared = prepare_fx(model, get_default_qconfig_mapping("fbgemm"), (x,))
    prepared(x)
    quantized = convert_fx(prepared)
    kinds = [type(m).__module__ for m in quantized.modules() if "Conv" in type(m).__name__]
    assert len(kinds) == 2
    assert all("quantized" in kind for kind in kinds), "a convolution stays in floating point"
    _same(quantized(x), model(x), INT8_TOLERANCE)


def scripts(model: nn.Module, x: Tensor) -> None:
    """torch.jit.script."""
    _same(torch.jit.script(model)(x), model(x))


TOOLS: dict[str, Tool] = {
    "compile": compiles,
    "export": exports,
    "ONNX": exports_to_onnx,
    "ONNX, any batch": exports_to_onnx_for_any_batch,
    "fx": traces,
    "vmap": maps,
    "DDP": distributes,
    "AMP": autocasts,
    "channels_last": keeps_channels_last,
    "int8": quantizes,
    "script": scripts,
}
