"""Counting leaves a model as it is, and says what it does not count."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from linconv import complexity, convert, fold, summary
from linconv.config.errors import UserError


class Caching(nn.Module):
    """Keeps tensors that its forward made: in an attribute, a list and a dictionary."""

    def __init__(self, *, looks=False):
        super().__init__()
        self.conv, self.looks = nn.Conv2d(3, 4, 3), looks
        self.kept, self.listed, self.by_name = None, [], {}

    def forward(self, x):
        y = self.conv(x)
        if self.kept is None:
            self.kept = y.mean()
        self.listed.append(y)
        self.by_name["y"] = y
        if self.looks:  # impossible on meta
            assert self.kept.item() is not None
        return y + self.kept


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("ran", [False, True])
def test_what_a_forward_stores_stays_with_the_copy(looks, ran):
    model = Caching(looks=looks)
    if ran:
        model(torch.zeros(1, 3, 6, 6))  # leaves tensors that autograd made, which copy.deepcopy refuses
    kept, listed = model.kept, len(model.listed)
    assert complexity(model, (3, 6, 6)).macs_folded == 4 * 27 * 16
    assert (model.kept is kept, len(model.listed)) == (True, listed)
    assert model(torch.zeros(1, 3, 6, 6)).device.type == "cpu"
    folded = fold(convert(model, "L"))
    assert folded(torch.zeros(1, 3, 6, 6)).shape == (1, 4, 4, 4)


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"])
def test_a_detection_model_is_counted_and_still_runs(name):
    size = {"min_size": 64, "max_size": 96} if "faster" in name else {}
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, **size).eval()
    image = torch.rand(3, 64, 64)
    with torch.no_grad():
        before = model([image])[0]["scores"]
    record = complexity(model, (3, 64, 64))
    zeros = torch.zeros(1, 3, 64, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(model)(zeros)
    assert record.macs_folded * 2 == counter.get_total_flops()
    torch.testing.assert_close(model([image])[0]["scores"], before)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x):
        return F.conv2d(x, self.weight)


def uncounted(record):
    return [str(w.message) for w in record if "complexity:" in str(w.message)]


def test_a_convolution_by_function_is_said_with_its_macs_and_its_module():
    with pytest.warns(UserWarning, match="complexity:") as record:
        assert complexity(nn.Sequential(Functional(), nn.Conv2d(8, 8, 1)), (3, 9, 9)).macs_folded == 3136
    (message,) = uncounted(record)
    assert "10,584 of the 13,720 MACs" in message
    assert "0 (convolution 10,584)" in message


class Attention(nn.Module):
    """Self-attention over the pixels, in one of three ways."""

    def __init__(self, way):
        super().__init__()
        self.way, self.stem = way, nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True) if way == "module" else nn.Identity()

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        if self.way == "module":
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]
        if self.way == "product":
            return (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens
        return F.scaled_dot_product_attention(tokens[:, None], tokens[:, None], tokens[:, None])


@pytest.mark.parametrize(("way", "macs"), [("product", 2 * 8 * 16**2), ("function", 2 * 8 * 16**2), ("module", 8192)])
def test_attention_is_said(way, macs):
    # the module: 4 projections of 8 x 8 for 16 tokens, and 2 products of 16 x 16 x 8
    with pytest.warns(UserWarning, match="complexity:") as record:
        complexity(Attention(way), (3, 16, 16))
    assert f"{macs:,} of the {macs + 16 * 8 * 48:,} MACs" in uncounted(record)[0]


def test_a_leaf_whose_work_nobody_knows_is_said():
    class Deformed(nn.Module):
        def __init__(self):
            super().__init__()
            self.offset, self.conv = nn.Conv2d(3, 18, 3), torchvision.ops.DeformConv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x, self.offset(x))

    with pytest.warns(UserWarning, match=r"1 module\(s\) is counted neither here nor by torch: conv"):
        complexity(Deformed(), (3, 8, 8))


def test_a_layer_that_computes_something_else_than_its_kind_is_said():
    class Twice(nn.Linear):
        def forward(self, x):
            return super().forward(super().forward(x))

    with pytest.warns(UserWarning, match="16 of the 32 MACs .* 1 \\(its formula and its run differ by 16\\)"):
        complexity(nn.Sequential(nn.Flatten(), Twice(4, 4)), (1, 2, 2))


def test_windows_and_regions_made_of_one_image_count_each(recwarn):
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.line = nn.Conv2d(3, 4, 1, bias=False), nn.Linear(4, 4)

        def forward(self, x):
            windows = x.unflatten(2, (2, -1)).movedim(2, 0).flatten(0, 1)  # two halves of the image
            return self.line(self.conv(windows).flatten(2).transpose(1, 2))

    record = complexity(Windows(), (3, 4, 4), batch_size=2)
    assert record.macs_folded == 16 * 12 + 16 * 16
    assert record.macs_train_folded == 2 * 16 * 12 + 3 * 16 * 16
    assert not uncounted(recwarn)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_wrapped_model_is_counted_as_the_model_inside(wrap):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert complexity(wrap(model), (3, 6, 6)).layers == complexity(model, (3, 6, 6)).layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 3, 9, 9),), r"input_shape must be \(channels, height, width\) of one image, not \(1, 3, 9, 9\)"),
        ((9,), "input_shape must be"),
        (((3, 0, 9),), "input_shape must be"),
        (((3, 9, 9), 0), "batch_size must be an int of at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        complexity(nn.Conv2d(3, 4, 3), *arguments)


def test_an_image_that_does_not_fit_is_one_plain_error():
    with pytest.raises(UserError, match=r"does not run on one image of shape \(4, 9, 9\): RuntimeError: .*channels"):
        complexity(nn.Conv2d(3, 4, 3), (4, 9, 9))


def test_summary_prints_a_line_for_each_layer_and_the_totals(capsys):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(32, 2))
    model = convert(model, "L", rank=1)
    assert summary(model, (3, 4, 4)) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["0", "LinearConv2d", "8x2x2", "116", "864", "464"]
    assert lines[3].split() == ["2", "Linear", "2", "66", "64", "64"]
    assert lines[5].split() == ["parameters:", "182", "(282", "folded)"]
    assert str(complexity(model, (3, 4, 4))).splitlines() == lines, "what print shows of the record itself"


def test_summary_says_where_a_layer_has_no_form_in_feature_space(capsys):
    legend = "n/a: the layer has no form in feature space and counts as it runs"
    summary(convert(nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=2)), "L"), (4, 8, 8))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] == "n/a" for line in lines[2:4]] == [False, True]
    assert lines[4] == legend
    summary(nn.Sequential(nn.Conv2d(4, 8, 3)), (4, 8, 8))
    assert "n/a" not in capsys.readouterr().out
