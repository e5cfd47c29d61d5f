"""Where this installation came from, so that another environment gets the same package."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import linconv


def requirement() -> str:
    """What pip installs to have this version of the package: a folder, an address, or a released version."""
    beside = Path(linconv.__file__).resolve().parents[1]
    if (beside / "pyproject.toml").is_file():  # a clone, installed to be edited or used as it lies there
        return str(beside)
    installed = importlib.metadata.distribution("linconv")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")  # PEP 610
    url = origin.get("url", "")
    if "vcs_info" in origin:
        return f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    if url.startswith("file:"):
        return unquote(urlsplit(url).path)
    return url or f"linconv=={installed.version}"
