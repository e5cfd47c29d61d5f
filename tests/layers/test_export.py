"""torch.compile, torch.export and ONNX."""

import onnx
import pytest
import torch
from torch import nn

from linconv import LinearConv2d, convert, fold


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 64, 1))
    return convert(model, "LRr").eval()


@pytest.mark.parametrize("mode", ["weight", "feature", "auto"])
def test_compile_without_graph_breaks(mode):
    layer = LinearConv2d(6, 11, 3, padding=1, mode=mode)
    x = torch.randn(2, 6, 8, 8)
    # the "aot_eager" backend traces forward and backward like the default one and needs no C++ compiler
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    output = compiled(x)
    torch.testing.assert_close(output, layer(x))
    output.sum().backward()
    grads = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x).sum().backward()
    torch.testing.assert_close(grads, [p.grad for p in layer.parameters()])


def test_export_with_a_dynamic_batch_keeps_the_output():
    model = network()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(program.module()(x), model(x))


def test_folded_model_exports_to_onnx_as_plain_convolutions(tmp_path):
    path = tmp_path / "folded.onnx"
    torch.onnx.export(fold(network()), (torch.randn(1, 3, 8, 8),), path)
    graph = onnx.load(path).graph
    operators = {node.op_type for node in graph.node}
    assert "Conv" in operators
    assert operators <= {"Conv", "Relu", "BatchNormalization"}, operators
