"""Reading the description and the tensors of a saved model; whatever is wrong with a file is one line."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from linconv.config.errors import UserError
from linconv.deploy.description import FORMAT_VERSION, Description
from linconv.deploy.optional import needed

TENSORS, DESCRIPTION = "model.safetensors", "config.json"  # the names that model hubs look for


class ModelFileError(UserError):
    """A file that is no model of `linconv.save`, or that cannot be loaded here; the message says what to do."""


def read_file(path: Path, device: str) -> tuple[Description, dict[str, Tensor]]:
    """The description of a model and its tensors, from one file or a folder."""
    safetensors = needed("safetensors", "loading a model")
    file = path / TENSORS if path.is_dir() else path
    if not file.is_file():
        raise ModelFileError(f"{file}: no such file")
    try:
        with safetensors.safe_open(str(file), framework="pt", device=device) as opened:
            text = (opened.metadata() or {}).get("linconv")
            if path.is_dir():
                text = _description_beside(path)
            description = _parse(path, text)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{file}: no safetensors file, or a damaged one: {error}") from None
    return description, tensors


def _description_beside(path: Path) -> str | None:
    try:
        return (path / DESCRIPTION).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ModelFileError(f"{path / DESCRIPTION}: no text in UTF-8") from None


def _parse(path: Path, text: str | None) -> Description:
    foreign = f"{path}: not written by linconv.save"
    if text is None:
        raise ModelFileError(f"{foreign}: it has no description of a model")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path}: the description is no JSON") from None
    if not isinstance(raw, dict) or raw.get("format") != "linconv":
        raise ModelFileError(foreign)
    version = raw.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        writer = raw.get("linconv", "unknown")
        raise ModelFileError(
            f"{path}: written by a newer linconv ({writer}, format {version}; this one reads format {FORMAT_VERSION}): "
            "update linconv"
        )
    try:
        return Description.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
