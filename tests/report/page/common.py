"""What the tests of the page share: a page as read without a browser, and a small experiment."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from linconv.results.collect import collect
from tests.results.factory import make_config, write_experiment

VOID = {"meta", "source", "img", "input", "br", "hr", "link", "path", "polyline"}


class Page(HTMLParser):
    """What a page holds, read without a browser; closing tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing, line {self.getpos()}"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>, line {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def values(self, *names):
        return [value for _, name, value in self.attributes if name in names]


def check(text: str) -> Page:
    """The page, after checking what holds for every page."""
    page = Page(text)
    ids = page.values("id")
    assert len(set(ids)) == len(ids), [i for i, n in Counter(ids).items() if n > 1]
    for link in page.values("href"):
        assert link.startswith("#"), link
        assert link[1:] in ids, link
    for reference in page.values("aria-labelledby", "aria-describedby"):
        assert set(reference.split()) <= set(ids), reference
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    css = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    script = "".join(re.findall(r"<script>(.*?)</script>", text, re.S))
    assert not re.search(r"url\(|@import", css)
    assert not re.search(r"https?:|fetch|XMLHttp|import\(", script)
    assert page.tags["script"] == page.tags["style"] == page.tags["h1"] == page.tags["main"] == page.tags["nav"] == 1
    assert all(tag in ("meta",) for tag, name, value in page.attributes if "http" in name)
    images = sum(tag == "img" for tag, name, _ in page.attributes if name == "alt")
    assert images == page.tags["img"]
    assert page.tags["caption"] == page.tags["table"]
    shown = " ".join(page.text)
    assert not re.search(r"\bnan\b|\bNone\b|\bundefined\b|Undefined", shown)
    assert "/tmp/" not in text
    return page


def toy(root, name="toy", collected=False, **changes):
    """An experiment of two seeds in `root`/`name`."""
    options = {k: changes.pop(k) for k in ("skip", "diverged", "top1") if k in changes}
    config = make_config(**({"seeds": [0, 1], "variants": ["conv", "L", "Lr"]} | changes))
    write_experiment(root / name, config, **options)
    if collected:
        collect(config, root / name, partial=True)
    return root / name
