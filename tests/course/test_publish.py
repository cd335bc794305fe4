"""What is committed of the bundled study's results: written by `publish` from a finished run alone, and current."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

import hn_utils.__main__ as command
from hn_utils.course import publish
from hn_utils.course.alike import PLOTLY, Comparison, Text, near
from hn_utils.course.execute import BEYOND, DEEPER, MAIN_LINE
from hn_utils.storage.paths import NOTEBOOKS
from hn_utils.study import BUNDLED
from hn_utils.study.run_folders import own_home

SHORT = "deeper/found_again"  # a notebook with two figures and tables, read and compared fast


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run of the bundled study that came out as what is committed."""
    monkeypatch.setenv("HN_RUNS", str(tmp_path / "runs"))
    folder = own_home(BUNDLED)
    shutil.copytree(publish.FIGURES, folder, dirs_exist_ok=True)
    for name in (*MAIN_LINE, *DEEPER, *BEYOND):
        path = folder / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(NOTEBOOKS / f"{name}.ipynb", path)
    return folder


@pytest.fixture
def committed(run, tmp_path, monkeypatch) -> Path:
    """A copy of what is committed, to be published to."""
    for name, folder in (("FIGURES", publish.FIGURES), ("NOTEBOOKS", NOTEBOOKS)):
        copy = tmp_path / "clone" / folder.name
        shutil.copytree(folder, copy)
        monkeypatch.setattr(publish, name, copy)
    return tmp_path / "clone"


def bytes_in(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    path.write_text(change(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before


def test_what_a_run_left_comes_to_where_it_is_committed_byte_by_byte(run, committed):
    rewrite(run / "report.md", lambda text: text + "\nA line more.\n")
    (committed / "figures/html/no_more.html").write_bytes((run / "html/detection.html").read_bytes())
    (committed / "figures/png/no_more.png").write_bytes(b"an image of it")
    (run / "html/growth.html").unlink()  # of `make bench`, which was not run now
    before = bytes_in(committed)
    assert publish.publish().startswith("published: 9 notebooks, 31 figures")
    after = bytes_in(committed)
    gone = {Path("figures/html/no_more.html"), Path("figures/png/no_more.png")}
    changed = {path for path in before if before[path] != after.get(path)}
    assert changed == gone | {Path("figures/report.md")}


def without_image(run: Path) -> None:
    """As if there had been no browser."""
    path = run / "notebooks" / f"{SHORT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", ())):
        output.get("data", {}).pop("image/png", None)
    nbformat.write(notebook, path)


def with_another_source(run: Path) -> None:
    rewrite(run / "notebooks/01_collect.ipynb", lambda text: text.replace("import hn_utils as hn", "import hn_utils"))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: (run / f"notebooks/{SHORT}.ipynb").unlink(), r"lacks deeper/found_again: .*\(make deeper\)"),
        (lambda run: shutil.rmtree(run / "notebooks"), r"\(make notebooks && make deeper && make beyond\)"),
        (without_image, r"lacks the images of \d figures \(\w+, for one\): install Chromium or Chrome"),
        (lambda run: (run / "png/paper_rule.png").unlink(), r"lacks the images of 1 figure \(paper_rule, for one\)"),
        (lambda run: (run / "explorer.html").unlink(), r"lacks explorer.html: run make notebooks again"),
        (lambda run: (run / "study.json").unlink(), r"lacks study.json: run make notebooks again"),
        (with_another_source, r"notebooks/01_collect.py has changed since it was run: run it again \(make notebooks\)"),
    ],
    ids=["a notebook", "all", "no browser", "an image", "the explorer", "settings", "a source"],
)
def test_a_run_that_is_incomplete_is_refused_in_one_sentence_and_nothing_is_written(run, committed, spoil, told):
    spoil(run)
    before = bytes_in(committed)
    with pytest.raises(SystemExit, match=f"^error: [^\n]*{told}[^\n]*$"):
        command.main(["publish"])
    assert bytes_in(committed) == before


def test_another_study_s_results_are_not_published(run):
    rewrite(run / "study.json", lambda text: text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(SystemExit, match=r"^error: .* holds the results of another study named 'organism' .seed=1"):
        command.main(["publish", "--check"])


def test_what_is_committed_agrees_with_itself_and_a_main_line_alone_is_enough(run, capsys):
    for name in (*DEEPER, *BEYOND):
        (run / f"notebooks/{name}.ipynb").unlink()
    command.main(["publish", "--check"])
    told = capsys.readouterr().out
    assert re.match(r"current: 4 notebooks, \d+ figures and explorer.html, report.md, h_neurons.json; ", told)
    assert int(re.search(r"([\d,]+) numbers agree", told)[1].replace(",", "")) > 20_000
    (run / "notebooks/01_collect.ipynb").unlink()
    with pytest.raises(SystemExit, match=r"^error: .*lacks 01_collect: first run them on the bundled study"):
        command.main(["publish", "--check"])


def test_all_that_differs_is_told_with_its_place(run):
    rewrite(run / "report.md", lambda text: text.replace("AUROC 0.77: 0.16", "AUROC 0.71: 0.16", 1))
    rewrite(run / "h_neurons.json", lambda text: text.replace('"neuron": 437', '"neuron": 438'))
    rewrite(run / "explorer.html", lambda text: text.replace("Known: right in all ten draws", "Known"))
    rewrite(run / "html/detection.html", lambda text: text.replace("less than confidence", "as much as confidence"))
    rewrite(run / "notebooks/02_probe.ipynb", lambda text: text.replace("0.53 [0.49, 0.56]", "0.63 [0.49, 0.56]"))
    with pytest.raises(SystemExit) as ended:
        command.main(["publish", "--check"])
    told = str(ended.value)
    assert "make publish" in told
    for line in (
        r"figures/report.md, 04_base_vs_instruct: 0.77 as committed, 0.71 in the run, after '.*AUROC'",
        r"figures/h_neurons.json, rows\[1\].neuron: 437 as committed, 438 in the run",
        r"figures/explorer.html, models\[0\].groups\[0\].title: .*'Known: right",
        r"figures/html/detection.html: .*less than confidence.* as committed, .*as much as confidence.* in the run",
        r"notebooks/02_probe.ipynb, cell 33: 0.53 as committed, 0.63 in the run",
    ):
        assert re.search(line, told), line


def short() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{SHORT}.ipynb", as_version=4)


def compared(change: Callable[[nbformat.NotebookNode], None]) -> Comparison:
    """One notebook, with a change in the run."""
    run, told = short(), Comparison()
    change(run)
    told.notebooks(short(), run, SHORT)
    return told


def figures_in(notebook: nbformat.NotebookNode) -> list[dict]:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    return [o.data[PLOTLY] for o in outputs if PLOTLY in o.get("data", {})]


def rounded_otherwise(value):
    """The same, as another processor would have it: each number off in its sixth digit."""
    if isinstance(value, dict):
        return {key: rounded_otherwise(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded_otherwise(part) for part in value]
    return value * (1 + 3e-6) if isinstance(value, float) else value


def test_rounding_is_no_difference(run):
    def change(notebook):
        for figure in figures_in(notebook):
            figure.update(rounded_otherwise(figure))
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if output.output_type == "stream":
                    output.text = output.text.replace("0.77 [0.74, 0.80]", "0.78 [0.73,  0.80]")

    told = compared(change)
    assert told.differences == told.tipped == []
    assert told.n_numbers > 500
    path = run / "explorer.html"
    data = json.loads(re.search(r'id="states">(.*?)</script>', path.read_text(), re.DOTALL)[1])
    text = json.dumps(rounded_otherwise(data), ensure_ascii=False)
    rewrite(path, lambda page: re.sub(r'(id="states">).*?(</script>)', lambda m: m[1] + text + m[2], page, flags=re.S))
    told.page((publish.FIGURES / "explorer.html").read_text(), path.read_text(), "the explorer")
    assert told.differences == []


def a_source(notebook):
    notebook.cells[3].source += "\n1 + 1"


def a_title(notebook):
    layout = figures_in(notebook)[0]["layout"]
    layout["title"]["text"] = layout["title"]["text"].replace("the same", "almost the same")


def a_number_of_a_title(notebook):
    layout = figures_in(notebook)[0]["layout"]
    layout["title"]["text"] = layout["title"]["text"].replace("12", "11")


def a_point(notebook):
    trace = next(t for t in figures_in(notebook)[0]["data"] if isinstance(t.get("y"), list) and len(t["y"]) > 5)
    trace["y"][4] += 0.1 * max(trace["y"])


def a_point_more(notebook):
    trace = next(t for t in figures_in(notebook)[0]["data"] if isinstance(t.get("y"), list) and len(t["y"]) > 5)
    trace["y"].append(trace["y"][-1])


def a_word(notebook):
    output = notebook.cells[1].outputs[0]
    output.text = output.text.replace("beyond confidence", "below confidence")


def an_output(notebook):
    notebook.cells[6].outputs = []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (a_source, "the sources differ, first in cell 3"),
        (a_title, "cell 3, layout.title.text: .*almost the same"),
        (a_number_of_a_title, "cell 3, layout.title.text: 12 as committed, 11 in the run"),
        (a_point, r"cell 3, data\[0\].y: "),
        (a_point_more, r"cell 3, data\[0\].y: 19 values as committed, 20 values in the run"),
        (a_word, "cell 1: .*beyond confidence.* as committed, .*below confidence.* in the run"),
        (an_output, "cell 6: shows text as committed, nothing in the run"),
    ],
)
def test_whatever_is_not_rounding_is_a_difference(change, told):
    differences = compared(change).differences
    assert len(differences) == 1
    assert re.match(f"{SHORT}(, |: ){told}", differences[0]), differences


def test_a_few_replies_may_tip_and_are_told_many_are_a_difference():
    replies = [f"she comes from {place}" for place in "abcdefghij"]
    few, many = ([*("no idea",) * n, *replies[n:]] for n in (2, 5))
    told = Comparison()
    told.data({"text": replies, "name": "H-Neurons"}, {"text": few, "name": "H-Neurons"}, "a figure")
    assert told.differences == []
    assert told.tipped[0] == "a figure, text[0]: 'she comes from a' as committed, 'no idea' in the run"
    told.data({"text": replies, "name": "H-Neurons"}, {"text": many, "name": "H-Neurons"}, "a figure")
    assert len(told.differences) == 5
    told.data({"name": "H-Neurons"}, {"name": "random"}, "a figure")
    assert told.differences[-1].startswith("a figure, name: ")


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("0.77", "0.79", True),
        ("0.77", "0.80", False),
        ("-0.00", "0.00", True),
        ("12", "13", False),
        ("5,077", "5,090", True),
        ("5,077", "5,177", False),
        ("61%", "63%", True),
        ("61%", "64%", False),
        ("12.32", "12.40", True),
        ("3.4e-07", "0.0e+00", True),
        ("3.5e-05", "9.1e-05", True),
        ("3.5e-11", "2.0e-02", False),
    ],
)
def test_printed_numbers_within_rounding(ours, theirs, same):
    assert near(ours, theirs) is near(theirs, ours) is same


def test_digits_in_names_are_no_numbers():
    text = Text("L2.N39 of 3-vs-1, AUROC \u22120.77 (n = 1,242)")
    assert text.numbers == ["3", "1", "-0.77", "1,242"]
    assert text.words == ["L2.N39 of", "-vs-", ", AUROC", "(n =", ")"]
