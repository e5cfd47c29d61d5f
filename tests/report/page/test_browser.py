"""The report in a real browser: it opens from the disk, sorts, filters, asks nobody for anything, fits a phone."""

from __future__ import annotations

import os
import shutil

import pytest

from linconv.report.page import build_report
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the extra `dev` has it)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)

RUNS = "table[data-table=runs]"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    for name in ("one", "two"):
        tops = {key("L", s): 99.0 + s / 10 for s in range(3)} | {key("conv", 1): 8.5}
        skip, diverged = ([], [])
        if name == "two":  # nothing of it can be compared, so it stands behind the other
            skip, diverged = [key("LSr", 1), key("conv", 1), key("conv", 2)], [key("LRr", 2)]
        write_experiment(root / name, make_config(experiment=name), skip=skip, diverged=diverged, top1=tops)
    return build_report(root)


@pytest.fixture(scope="module")
def browser():
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(request, browser, report):
    """The report, opened; whatever it asks of others or complains about fails the test at its end."""
    options = {"viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    page = browser.new_page(**options)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    requests: list[str] = []

    def route(route):
        requests.append(route.request.url)
        if route.request.url.startswith((report.as_uri(), "data:")):
            route.continue_()
        else:
            route.abort()

    page.route("**/*", route)
    page.goto(report.as_uri())
    yield page
    page.close()
    assert [url for url in requests if not url.startswith(("data:", report.as_uri()))] == []
    assert requests[0] == report.as_uri()
    assert trouble == []


def column(page, position, table=RUNS):
    cells = page.locator(f"{table} >> nth=0").locator(f"tbody tr:visible td:nth-child({position})")
    return cells.all_inner_texts()


def header(page, name, table=RUNS):
    return page.locator(f"{table} >> nth=0").get_by_role("columnheader", name=name)


def test_it_opens_with_the_answer_then_the_verdicts(page):
    assert page.title() == "LinearConv results"
    first = page.locator("main h2").first
    assert first.inner_text().startswith("Should I use LinearConv?")
    for place in (first, page.locator("#answer .answer"), page.locator("#answer img")):
        assert place.bounding_box()["y"] < 900  # seen without scrolling
    assert page.locator("main h2").nth(1).inner_text() == "Verdicts"
    assert page.locator("main figure img").count() >= 6
    broken = "images => images.filter(i => !i.complete || i.naturalWidth === 0).length"
    assert page.locator("img").evaluate_all(broken) == 0


def test_a_click_sorts_by_number_and_a_third_one_restores(page):
    given = column(page, 6)
    assert len(given) == 15
    top1 = header(page, "top-1 (%)")
    top1.get_by_role("button").click()
    assert top1.get_attribute("aria-sort") == "ascending"
    rising = [float(text) for text in column(page, 6)]
    assert rising == sorted(rising)
    assert rising[0] == 8.5  # 8.50 sorts below 96.4 as a number, above it as text
    top1.get_by_role("button").click()
    assert top1.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(page, 6)] == rising[::-1]
    top1.get_by_role("button").click()
    assert top1.get_attribute("aria-sort") is None
    assert column(page, 6) == given


def test_the_keyboard_sorts_and_only_one_column_at_a_time(page):
    seed, variant = header(page, "seed"), header(page, "variant")
    seed.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, 4) == sorted(column(page, 4))
    variant.get_by_role("button").focus()
    page.keyboard.press("Space")
    assert seed.get_attribute("aria-sort") is None
    assert variant.get_attribute("aria-sort") == "ascending"
    assert column(page, 3) == sorted(column(page, 3), key=str.lower)


def test_headers_below_groups_sort_their_own_column(page):
    table = "table[data-table=complexity]"
    cells = page.locator(f"{table} >> nth=0").locator("tbody tr >> nth=0").locator("td")
    heads = page.locator(f"{table} >> nth=0").locator("thead th[scope=col]")
    below = "(cells, x) => cells.findIndex(c => Math.abs(c.getBoundingClientRect().left - x) < 2)"
    numeric = 0
    for i in range(heads.count()):
        heads.nth(i).get_by_role("button").click()
        found = cells.evaluate_all(below, heads.nth(i).bounding_box()["x"])
        assert found >= 0
        values = [text.replace(",", "") for text in column(page, found + 1, table)]
        if "number" in heads.nth(i).get_attribute("class"):
            numeric += 1
            numbers = [float(text) for text in values]
            assert numbers == sorted(numbers), heads.nth(i).inner_text()
    assert numeric >= 8


def test_missing_values_stay_last(page):
    second = page.locator(RUNS).nth(1)
    button = second.get_by_role("columnheader", name="top-1 (%)").get_by_role("button")
    for _ in range(2):
        button.click()
        assert second.locator("tbody tr td:nth-child(6)").all_inner_texts()[-1] == "-"


def test_words_filter_rows(page):
    section = page.locator("section.table", has=page.locator(RUNS)).first
    field = section.get_by_role("searchbox", name="Filter rows")
    assert section.locator("output").inner_text() == "15 rows"
    field.fill("lrr  digits")
    assert set(column(page, 3)) == {"LRr"}
    assert section.locator("output").inner_text() == "3 of 15 rows"
    header(page, "seed").get_by_role("button").click()
    assert len(column(page, 3)) == 3  # sorting keeps the filter
    field.fill("nothing like it")
    assert column(page, 3) == []
    field.fill("")
    assert len(column(page, 3)) == 15


def test_a_link_opens_the_cell_it_names(page):
    page.locator(RUNS).first.locator("a", has_text="0").first.click()
    page.wait_for_url("**#one-run-digits-base-conv")
    cell = page.locator("#one-run-digits-base-conv")
    # the browser tells the page of the link some time after the click
    playwright.expect(cell).to_have_attribute("open", "")
    playwright.expect(cell.get_by_text("--variant conv --seed 0").first).to_be_visible()
    page.wait_for_function("document.getElementById('one-run-digits-base-conv').getBoundingClientRect().top < 300")


def test_all_cells_open_and_close(page):
    button = page.locator("#two-runs").get_by_role("button")
    button.click()
    assert page.locator("#two-runs details[open]").count() == 5
    assert page.locator("#two-runs").get_by_text("1 diverged").is_visible()
    button.click()
    assert page.locator("#two-runs details[open]").count() == 0
    assert page.locator("#one-runs details[open]").count() == 0


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": w, "height": 800}} for w in (320, 390, 768, 1152)], indirect=True, ids=str
)
def test_no_width_scrolls_the_page_sideways(page):
    for button in page.locator("button.all").all():
        button.click()
    page.locator("details").evaluate_all("all => all.forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    scroll = "all => all.some(e => e.scrollWidth > e.clientWidth)"
    if page.viewport_size["width"] < 500:
        assert page.locator(".scroll").evaluate_all(scroll)  # a wide table scrolls by itself


@pytest.mark.parametrize("page", [{"color_scheme": s} for s in ("light", "dark")], indirect=True, ids=str)
def test_text_stands_out_in_light_and_dark(page):
    luminance = """element => {
      const of = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      return [of(getComputedStyle(element).color), of(getComputedStyle(document.body).backgroundColor)];
    }"""
    for selector in ("h1", "p.lead", ".caption", "td.number", ".badge", "nav a", "td a", "li.not-measured .badge"):
        high, low = sorted(page.locator(selector).first.evaluate(luminance), reverse=True)
        assert (high + 0.05) / (low + 0.05) > 4.5, selector


def test_paper_has_no_controls_and_all_columns(page):
    page.emulate_media(media="print")
    for selector in ("nav", ".tools", "button.all", "a.skip"):
        assert not page.locator(selector).first.is_visible()
    assert page.locator(".scroll").first.evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_a_script_nothing_is_missing(browser, report):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("button").count() == 0
    assert page.locator(f"{RUNS} >> nth=0").locator("tbody tr").count() == 15
    page.locator("#one-runs summary").first.click()
    playwright.expect(page.get_by_text("--variant conv --seed 0").first).to_be_visible()
    page.close()
