"""What pyproject.toml cannot say: shipped configurations, and the address of the repository that builds the package.

The address comes from the environment (LINCONV_REPOSITORY, or GITHUB_REPOSITORY in CI) or from the remote `origin`.
Links of the README then are absolute, as a package index needs them. Without an address they stay as they are.
"""

import os
import posixpath
import re
import subprocess
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?!\w+:|#)([^)\s]+)\)")


def repository() -> str | None:
    """The https address of the repository, where it is known."""
    if address := os.environ.get("LINCONV_REPOSITORY"):
        return address.rstrip("/")
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    if not (ROOT / ".git").exists():  # unpacked from an archive, maybe inside of another repository
        return None
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None
    match = re.fullmatch(r"(?:https://|git@|ssh://git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?/?", found)
    return f"https://{match[1]}/{match[2]}" if match else None


def readme(address: str | None) -> str:
    """README.md with absolute links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if address is None:
        return text

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found[1].startswith("!") else "blob"
        return f"{found[1]}({address}/{kind}/main/{posixpath.normpath(found[2])})"

    return LINK.sub(absolute, text)


def urls(address: str | None) -> dict[str, str]:
    """The links beside the description on a package index."""
    paper = {"Paper": "https://arxiv.org/abs/1907.11432"}
    if address is None:
        return paper
    pages = {"Source": "", "Issues": "/issues", "Changelog": "/blob/main/CHANGELOG.md"}
    host, _, path = address.removeprefix("https://").partition("/")
    owner, _, name = path.partition("/")
    docs = {"Documentation": f"https://{owner.lower()}.github.io/{name}/"} if host == "github.com" else {}
    return docs | {label: address + page for label, page in pages.items()} | paper


ADDRESS = repository()
setup(
    # folders without code are named, for setuptools means to leave them out
    packages=[*find_packages(include=["linconv*"]), "linconv.report.paper", "linconv.examples"],
    package_dir={"linconv.examples": "config"},
    long_description=readme(ADDRESS),
    long_description_content_type="text/markdown",
    project_urls=urls(ADDRESS),
)
