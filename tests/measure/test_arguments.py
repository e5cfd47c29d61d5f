"""Wrong arguments of plans and sensitivities are one line that names them, before anything is measured."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import linconv
from linconv.config.errors import UserError

IMAGES = torch.zeros(2, 3, 8, 8)
PAIR = (IMAGES, torch.zeros(2, 8, 6, 6))


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3))


@pytest.mark.parametrize("size", [64, (64, 64), (3, 8, 8.5), (3, -1, 8), "3,8,8", None, (1, 3, 8, 8)])
def test_a_size_is_three_numbers(size):
    with pytest.raises(ValueError, match=r"^size must be \(channels, height, width\) of one image, not "):
        linconv.plan(network(), size, params=0.8)


@pytest.mark.parametrize("cost", ["params", "macs", "latency"])
def test_an_image_that_the_model_does_not_take_is_one_line(cost):
    with pytest.raises(
        UserError, match=r"^the model does not run on one image of shape \(1, 8, 8\): Runtime"
    ) as raised:
        linconv.plan(network(), (1, 8, 8), **{cost: 0.8})
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r"no nn\.Conv2d that can be replaced"):
        linconv.plan(nn.ReLU(), (3, 8, 8), **{cost: 0.8})


@pytest.mark.parametrize(
    ("loss", "batches", "error", "message"),
    [
        ("mse", [PAIR], TypeError, r"loss: a function .* such as F\.cross_entropy, not 'mse'"),
        (F.mse_loss, [IMAGES], TypeError, "batches: pairs of inputs and targets are expected, not a Tensor"),
        (F.mse_loss, [(IMAGES,)], TypeError, "not a tuple of 1"),
        (F.mse_loss, [{"x": IMAGES, "y": IMAGES}], TypeError, "not a dict of 2"),
        (lambda output, target: output, [PAIR], ValueError, r"loss: one value .* is expected, not \(2, 8, 6, 6\)"),
    ],
)
def test_a_loss_gives_one_value_for_a_pair(loss, batches, error, message):
    with pytest.raises(error, match=message):
        linconv.sensitivity(network(), loss, batches)
    with pytest.raises(error, match=message):
        linconv.plan(network(), (3, 8, 8), params=0.8, loss=loss, batches=batches)


def test_a_data_loader_gives_its_batches_as_lists():
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*PAIR), batch_size=2)
    assert len(linconv.sensitivity(network(), F.mse_loss, pairs).layers) == 1
    assert len(linconv.sensitivity(network(), lambda output, target: float(output.mean()), pairs).layers) == 1


def test_what_is_no_model_is_named():
    plan = linconv.plan(network(), (3, 8, 8), params=0.8)
    for call in (plan.apply, linconv.replaced_layers):
        with pytest.raises(TypeError, match=r"model must be an nn\.Module, not a NoneType"):
            call(None)


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(8, 8, 3), nn.Conv3d(8, 8, 3), nn.Linear(8, 8)])
@pytest.mark.parametrize("method", ["linear", "tucker"])
def test_from_conv2d_takes_no_other_layer(layer, method):
    """The filters of a transposed convolution would be read the wrong way round."""
    with pytest.raises(TypeError, match=rf"takes the place of an nn\.Conv2d, not of a {type(layer).__name__}"):
        linconv.layers.method_class(method).from_conv2d(layer)


def test_a_device_that_is_none_is_named(tmp_path):
    pytest.importorskip("safetensors")
    file = linconv.save(network(), tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=r"^device: .*cudaa"):
        linconv.load(file, device="cudaa")


def test_a_loss_that_does_not_take_the_outputs_is_said():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(576, 4))

        def forward(self, x):
            return {"logits": self.net(x)}

    batches = [(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(UserError, match=r"^loss: it fails on the outputs of the model \(dict\) and .*: TypeError"):
        linconv.sensitivity(Named(), nn.functional.cross_entropy, batches)
    found = linconv.sensitivity(Named(), lambda out, y: nn.functional.cross_entropy(out["logits"], y), batches)
    assert [layer.layer for layer in found.layers] == ["net.0"]
