"""The report as text: whole, self-contained, safe and the same every time. A browser opens it in test_browser.py."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from linconv.report.page import build_report, report_html
from linconv.results import ResultError, RunResult, RunWarning, read_result, write_result, write_text
from tests.report.conftest import key
from tests.report.page.common import check, toy
from tests.results.factory import make_config, make_run

EVIL = '<script>alert("1")</script>&"\'><img src=x onerror=alert(1)>'


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
