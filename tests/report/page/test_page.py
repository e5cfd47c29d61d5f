"""The report as text: whole, self-contained, safe and the same every time. A browser opens it in test_browser.py."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from linconv.config import plan_runs
from linconv.report.page import build_report, report_html
from linconv.results import ResultError, RunResult, RunWarning, read_result, write_result, write_text
from linconv.results.collect import collect
from tests.report.conftest import key
from tests.results.factory import make_config, make_run, write_experiment

VOID = {"meta", "source", "img", "input", "br", "hr", "link", "path", "polyline"}
EVIL = '<script>alert("1")</script>&"\'><img src=x onerror=alert(1)>'


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


@pytest.mark.usefixtures("sketched")
def test_one_experiment(tmp_path):
    root = toy(tmp_path)
    path = build_report(root)
    assert path == root / "report.html"
    text = path.read_text(encoding="utf-8")
    page = check(text)
    shown = " ".join(page.text)
    places = (
        'id="answer"',
        'id="toy-figure-answer_digits_base"',
        'id="verdicts"',
        'id="toy-figures"',
        'id="toy-tables"',
    )
    assert [text.index(place) for place in places] == sorted(text.index(place) for place in places)
    assert text.index("<figure") == text.index('<figure id="toy-figure-answer_digits_base"')  # the first picture
    assert "For an answer this lacks a plain network with fewer channels" in shown
    assert "6 of 6 finished" in shown
    assert {"toy-run-digits-base-conv", "toy-run-digits-base-L", "toy-run-digits-base-Lr"} <= set(page.values("id"))
    assert "linconv train config.yaml --variant Lr --seed 1" in shown
    assert "learning_rate: 0.001" in shown
    assert "Toy CPU & Co" in shown
    assert "finished: ok" in shown  # the end of a log
    assert page.tags["polyline"] == 3 * 2 * 2 * 2  # cells x seeds x (accuracy, loss) x (test, train)
    assert "toy-failures" not in page.values("id")
    assert not (root / "data").exists()  # a report changes nothing else


@pytest.mark.usefixtures("sketched")
def test_two_builds_give_the_same_bytes(tmp_path):
    assert report_html(toy(tmp_path / "a")) == report_html(toy(tmp_path / "b"))


@pytest.mark.usefixtures("sketched")
def test_new_runs_show_although_the_collected_data_are_older(tmp_path):
    root = toy(tmp_path, skip=[key("L", 1)], collected=True)
    stamp = {file.name: file.read_bytes() for file in (root / "data").iterdir()}
    assert "5 of 6 finished, 1 missing" in " ".join(check(report_html(root)).text)
    write_result(root / key("L", 1).path / "result.json", make_run(make_config(), key("L", 1)))
    assert "6 of 6 finished" in " ".join(check(report_html(root)).text)
    assert {file.name: file.read_bytes() for file in (root / "data").iterdir()} == stamp


@pytest.mark.usefixtures("sketched")
def test_collected_data_without_result_files_are_enough(tmp_path):
    root = toy(tmp_path, collected=True)
    for file in sorted((root / "runs").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (root / "runs").rmdir()
    shown = " ".join(check(report_html(root)).text)
    assert "6 of 6 finished" in shown
    assert "not in this folder" in shown


@pytest.mark.usefixtures("sketched")
def test_several_experiments_share_a_page_and_no_id(tmp_path):
    toy(tmp_path, "one"), toy(tmp_path, "two", seeds=[0, 1, 2])
    (tmp_path / "notes").mkdir()
    page = check(report_html(tmp_path))
    assert {"one-run-digits-base-L", "two-run-digits-base-L"} <= set(page.values("id"))
    assert {"#one-run-digits-base-L", "#two-run-digits-base-L"} <= set(page.values("href"))


@pytest.mark.usefixtures("sketched")
def test_the_page_begins_with_the_experiment_that_decides_most(tmp_path):
    apart = {
        key(v, k): {"conv": 90.0, "L": 90.0, "Lr": 20.0}[v] + 0.1 * k for v in ("conv", "L", "Lr") for k in range(3)
    }
    toy(tmp_path, "one"), toy(tmp_path, "two", seeds=[0, 1, 2], top1=apart)
    text = report_html(tmp_path)
    assert text.index('id="two"') < text.index('id="one"')
    assert "Base on Digits, experiment toy" in text[: text.index('id="verdicts"')]
    assert (
        text.index('id="two-figure-answer_digits_base"') < text.index('id="verdicts"') < text.index('id="one-answer"')
    )


@pytest.mark.usefixtures("sketched")
def test_one_damaged_experiment_leaves_the_others(tmp_path):
    toy(tmp_path, "one"), toy(tmp_path, "two")
    (tmp_path / "two" / "config.yaml").write_text("experiment: [")
    shown = " ".join(check(report_html(tmp_path)).text)
    assert re.search(r"two/config\.yaml:\d+: not valid YAML", shown)
    assert "6 of 6 finished" in shown
    (tmp_path / "one" / "config.yaml").write_text("experiment: [")
    with pytest.raises(ResultError, match="not valid YAML"):
        report_html(tmp_path)


@pytest.mark.usefixtures("sketched")
def test_text_from_results_stays_text(tmp_path):
    root = toy(tmp_path, skip=[key("conv", 1)])
    write_text(root / key("conv", 1).log, f"\x1b[31mepoch 1\x00\nerror: {EVIL}\n")
    origin = {"command": EVIL, "hardware": {"cpu": EVIL, EVIL: 1}, "versions": {"torch": EVIL}, "git_commit": EVIL}
    for seed in (0, 1):
        file = root / key("L", seed).path / "result.json"
        result = read_result(file, RunResult)
        changed = {
            "provenance": result.provenance.model_copy(update=origin),
            "warnings": [RunWarning(code=EVIL, message=EVIL)],
            "layers": [layer.model_copy(update={"layer": f"{EVIL}{layer.position}"}) for layer in result.layers],
        }
        write_result(file, result.model_copy(update=changed))
    (root / key("Lr").path / "result.json").write_text(f'{{"kind": "{EVIL}"')
    text = report_html(root)
    page = check(text)
    assert "onerror" not in {name for _, name, _ in page.attributes}
    assert page.tags["img"] == len(re.findall("<img src=.data:image/png", text))
    shown = " ".join(page.text)
    assert shown.count(f"error: {EVIL}") >= 2  # the log's end and the reason
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "[31m" not in text


def nothing_run(tmp_path):
    config = make_config(seeds=[0])
    return write_experiment(tmp_path / "toy", config, skip=plan_runs(config)), "0 of 5 finished, 5 missing"


def only_a_configuration(tmp_path):
    root = nothing_run(tmp_path)[0]
    (root / "complexity.json").unlink()
    return root, "The complexity was not measured."


def one_seed(tmp_path):
    return toy(tmp_path, seeds=[4]), "3 of 3 finished"


def all_diverged(tmp_path):
    return toy(tmp_path, diverged=plan_runs(make_config(seeds=[0, 1]))), "0 of 6 finished, 6 diverged"


def variant_missing(tmp_path):
    return toy(tmp_path, skip=[key("L", 0), key("L", 1)]), "4 of 6 finished, 2 missing"


def baseline_missing(tmp_path):
    return toy(tmp_path, skip=[key("conv", 0), key("conv", 1)]), "4 of 6 finished, 2 missing"


def without_a_baseline(tmp_path):
    return toy(tmp_path, variants=["L", "Lr"]), "4 of 4 finished"


def damaged_json(tmp_path):
    root = toy(tmp_path)
    (root / key("L", 1).path / "result.json").write_text('{"kind": "run", "sta')
    (root / "complexity.json").write_text("")
    (root / key("conv", 0).path / "correlations.npz").write_text("no")
    return root, "5 of 6 finished"


def newer_schema(tmp_path):
    root = toy(tmp_path)
    file = root / key("L", 1).path / "result.json"
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    return root, "written by a newer linconv (schema 3"


def stale(tmp_path):
    root = toy(tmp_path)
    write_result(root / key("L", 1).path / "result.json", make_run(make_config(augment=False), key("L", 1)))
    return root, "5 of 6 finished, 1 stale"


SHOWN = [
    nothing_run,
    only_a_configuration,
    one_seed,
    all_diverged,
    variant_missing,
    baseline_missing,
    without_a_baseline,
    damaged_json,
    newer_schema,
    stale,
]


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.__name__)
def test_degenerate_results_have_a_report_too(case, tmp_path):
    root, words = case(tmp_path)
    assert words in " ".join(check(report_html(root)).text)


def unknown_network(tmp_path):
    root = toy(tmp_path)
    file = root / "config.yaml"
    file.write_text(file.read_text().replace("architectures:\n- base", "architectures:\n- bass", 1))
    return root, "unknown architecture 'bass'; did you mean 'base'?"


def no_folder(tmp_path):
    return tmp_path / "nowhere", "nowhere: no such folder"


def empty_folder(tmp_path):
    return tmp_path, "holds no experiment"


def damaged_data(tmp_path):
    root = tmp_path / "toy"
    write_text(root / "config.yaml", (toy(tmp_path, "other") / "config.yaml").read_text())
    collect(make_config(), write_experiment(tmp_path / "collected", make_config()))
    shutil.copytree(tmp_path / "collected" / "data", root / "data")
    write_text(root / "data" / "runs.csv", "a,b\n1\n")
    return root, "data/runs.csv: is not the file that was collected; collect the results again"


@pytest.mark.parametrize(
    "case", [unknown_network, no_folder, empty_folder, damaged_data], ids=lambda case: case.__name__
)
@pytest.mark.usefixtures("sketched")
def test_what_cannot_be_reported_is_one_message(case, tmp_path):
    root, words = case(tmp_path)
    code = "import sys; from linconv.cli import main; sys.argv[0] = 'linconv'; main()"
    done = subprocess.run([sys.executable, "-c", code, "report", root], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_command_writes_the_page_without_torch(tmp_path):
    root = toy(tmp_path, seeds=[0])
    code = (
        "import sys\nfrom linconv.cli.commands import app\n"
        "app(sys.argv[1:], standalone_mode=False)\nsys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "report", str(root), "--output", str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "page.html")), done.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report_html(root)


@pytest.mark.usefixtures("sketched")
def test_long_trainings_are_drawn_with_few_points(tmp_path):
    root = toy(tmp_path, variants=["conv"], seeds=[0], recipe={"overrides": [{"set": {"epochs": 1000}}]})
    page = check(report_html(root))
    lengths = [len(points.split()) for points in page.values("points")]
    assert len(lengths) == 4
    assert all(90 < n <= 101 for n in lengths)
    ends = [points.split()[-1].split(",")[0] for points in page.values("points")]
    assert ends == ["320.0"] * 4
