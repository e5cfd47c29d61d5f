"""ImageNet's layout and preprocessing, on a thousand class folders of one small image each."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvf
from PIL import Image

from linconv.catalogue.networks import NETWORKS
from linconv.config import RunKey, parse_config, resolve_run
from linconv.data import DATASETS, DataError, StreamedImages, batches, input_size, load
from linconv.models import build_model
from linconv.training.engine import Callback, Training, fit
from linconv.training.run import prepare

SIZES = [(300, 260), (200, 333), (256, 256), (500, 120)]  # width, height


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, random = tmp_path_factory.mktemp("data"), np.random.RandomState(0)
    samples = []
    for i, (width, height) in enumerate(SIZES):
        coarse = Image.fromarray(random.randint(0, 256, (8, 8, 3), dtype=np.uint8))
        samples.append(root / f"sample{i}.JPEG")
        coarse.resize((width, height)).save(samples[-1], quality=60)
    for part in ("train", "val"):
        for k in range(1000):
            folder = root / "imagenet" / part / f"n{k:08}"
            folder.mkdir(parents=True)
            shutil.copy(samples[k % len(samples)], folder / f"{part}_{k}.JPEG")
    return root


def standard(file: Path) -> torch.Tensor:
    """What torchvision's own evaluation does on tensors, uint8 (3, 256, 256) before the last crop."""
    image = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)
    return tvf.center_crop(tvf.resize(image, [256], antialias=True), [256, 256])


def test_it_is_streamed_with_a_thousand_classes_and_its_own_input_size(root: Path) -> None:
    data = load("imagenet", root)
    assert (data.info.classes, data.info.image_size, input_size(data.info)) == (1000, 256, 224)
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert isinstance(images, StreamedImages)
        assert labels.tolist() == list(range(1000))


def test_evaluation_sees_the_central_224_pixels_normalized(root: Path) -> None:
    data = load("imagenet", root)
    x, y = next(batches(data.test_images, data.test_labels, batch_size=4, info=data.info))
    for image, label in zip(x, y.tolist(), strict=True):
        file = root / "imagenet" / "val" / f"n{label:08}" / f"val_{label}.JPEG"
        wanted = tvf.center_crop(standard(file), [224, 224]).float() / 255
        assert torch.equal(image, tvf.normalize(wanted, data.info.mean, data.info.std))
        # in one step and on an image of Pillow, as others write it: other rounding, by one level of 255 at most
        direct = tvf.center_crop(tvf.resize(Image.open(file).convert("RGB"), [256], antialias=True), [224, 224])
        apart = np.array(direct).transpose(2, 0, 1) - (wanted * 255).round().numpy()
        assert np.abs(apart).max() <= 1
        assert (apart != 0).mean() < 0.01


def test_training_sees_random_windows_and_their_mirror_images(root: Path) -> None:
    data = load("imagenet", root)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (data.info.mean, data.info.std))
    options = {"batch_size": 16, "info": data.info, "augment": True, "shuffle": True, "generator_seed": (0, 1)}
    drawn = batches(data.train_images, data.train_labels, **options)
    x, y = next(drawn)
    drawn.close()
    places, flips = set(), 0
    for image, label in zip(x, y.tolist(), strict=True):
        pixels = ((image * std + mean) * 255).round().byte()
        whole = standard(root / "imagenet" / "train" / f"n{label:08}" / f"train_{label}.JPEG")
        windows = whole.unfold(1, 224, 1).unfold(2, 224, 1)  # (3, 33, 33, 224, 224)
        for flipped, candidate in enumerate((pixels, pixels.flip(-1))):
            near = (windows[:, :, :, 0, 0] == candidate[:, 0, 0].view(3, 1, 1)).all(0).nonzero().tolist()
            found = [(top, left) for top, left in near if torch.equal(windows[:, top, left], candidate)]
            if found:
                places.add(found[0])
                flips += flipped
                break
        else:
            pytest.fail("not a window of the image")
    assert len(places) > 8
    assert 0 < flips < 16
    again = next(batches(data.train_images, data.train_labels, **options))
    assert torch.equal(again[0], x)


@pytest.mark.parametrize("variant", ["conv", "LRr"])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_every_network_takes_its_size_and_classes(architecture: str, variant: str) -> None:
    with torch.device("meta"):
        model = build_model(architecture, variant, num_classes=1000)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 1000)


class StopAfterSteps(Callback):
    def on_step_end(self, training: Training) -> None:
        training.stop = training.step == 2


def test_a_network_trains_on_it(root: Path) -> None:
    raw = {
        "experiment": "x",
        "datasets": ["imagenet"],
        "architectures": ["base"],
        "variants": ["Lr"],
        "seeds": [0],
        "recipe": {"overrides": [{"set": {"batch_size": 2}}]},
    }
    run = resolve_run(parse_config(raw), RunKey("imagenet", "base", "Lr", 0))
    training = prepare(run, load("imagenet", root), "cpu", [StopAfterSteps()])
    before = training.model.features.conv1.weight.detach().clone()
    assert fit(training).step == 2
    assert not torch.equal(training.model.features.conv1.weight, before)
    assert training.batches_per_epoch == 500
    assert next(training.test_batches(0))[0].shape == (2, 3, 224, 224)  # by the batch, not by 500


def test_what_is_missing_is_one_message(root: Path, tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load("imagenet", tmp_path)
        assert str(caught.value).startswith("data set 'imagenet': ")
        assert len(str(caught.value).splitlines()) == 1

    refused(r"no folder .*imagenet/train; ImageNet must be fetched by hand from image-net\.org")
    (tmp_path / "imagenet").mkdir()
    train = tmp_path / "imagenet" / "train"
    train.symlink_to(root / "imagenet" / "train")
    refused(r"no folder .*imagenet/val; ")
    val = tmp_path / "imagenet" / "val"
    for k in range(3):
        (val / f"n{k:08}").mkdir(parents=True)
        shutil.copy(root / "sample0.JPEG", val / f"n{k:08}")
    refused(r"train/ and val/ must have the same classes; 'n00000003' only in train/.* and 992 more")
    train.unlink()
    shutil.copytree(val, train)
    refused(r"imagenet/train holds 3 class folders, not 1000; complete it")


def test_the_facts_are_in_the_table() -> None:
    info = DATASETS["imagenet"]
    assert (info.mean, info.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (info.flip, info.crop_padding, info.border) == (True, 0, 0)
