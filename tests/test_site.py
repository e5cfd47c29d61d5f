"""The documentation site: what it must show. `make docs` builds it and refuses warnings; CI does so too."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import linconv

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_in_the_reference() -> None:
    shown = re.findall(r"^::: linconv\.[\w.]*?(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.M)
    assert set(linconv.__all__) <= set(shown)


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md") if not page.name.startswith("how-to-")}
    assert pages <= set(re.findall(r"([\w-]+\.md)$", settings, re.M))


def test_the_site_refuses_warnings_and_asks_no_other_server() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["strict"] is True
    assert settings["theme"]["font"] is False
    assert set(settings["validation"].values()) == {"warn"}


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial-benchmark.md", "docs/methods.md"])
def test_links_lead_to_their_places_on_the_site(name: str) -> None:
    hooks = pytest.importorskip("docs.site_hooks", reason="the packages of the site are not installed")
    place = hooks.place_of(name)
    assert hooks.source_of(place) == name
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all((ROOT / target).exists() for target in hooks.targets(name, text))


def test_a_link_to_a_folder_needs_the_address_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = pytest.importorskip("docs.site_hooks", reason="the packages of the site are not installed")

    page = SimpleNamespace(file=SimpleNamespace(src_uri="repository/config/README.md"), meta={})
    line = "[tests](../tests/methods), [`methods`](../docs/methods.md#cp), [all](https://example.org)"
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.delenv("LINCONV_REPOSITORY", raising=False)
    led = hooks.on_page_markdown(line, page, None, None)
    assert led == "tests, [`methods`](../../methods.md#cp), [all](https://example.org)"
    monkeypatch.setenv("LINCONV_REPOSITORY", "https://example.org/linconv")
    led = hooks.on_page_markdown(line, page, None, None)
    assert led.startswith("[tests](https://example.org/linconv/tree/main/tests/methods)")


def test_pages_for_the_phone_have_the_tall_picture_and_brackets_stretch() -> None:
    hooks = pytest.importorskip("docs.site_hooks", reason="the packages of the site are not installed")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"), meta={})
    led = hooks.on_page_markdown("![answer](docs/answer/answer.png)\n", page, None, None)
    assert '<source media="(max-width: 40em)" srcset="answer/answer-tall.png">' in led
    assert '<img src="answer/answer.png" alt="answer">' in led
    assert page.meta["hide"] == ["navigation"]
    assert re.search("<mrow><mo>&#x0005B;</mo><mtable>", hooks.formula(r"W = \begin{bmatrix} V \\ A V \end{bmatrix}"))


def test_a_page_with_many_columns_gives_them_the_room_of_its_contents() -> None:
    hooks = pytest.importorskip("docs.site_hooks", reason="the packages of the site are not installed")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="comparison.md"), meta={})
    hooks.on_page_markdown("| a | b |\n", page, None, None)
    assert "hide" not in page.meta
    hooks.on_page_markdown(f"|{'x |' * 12}\n", page, None, None)
    assert page.meta["hide"] == ["toc"]
