"""A sweep: its file is checked before anything starts, its tasks end as single runs do, a killed one goes on, its runs
are compared. On a cluster: test_cluster.py."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from killing import FEWER, STUDY
from pages import opened

import hn_utils.__main__ as command
from hn_utils.pipeline import steps
from hn_utils.study import load_study
from hn_utils.sweeps import running
from hn_utils.sweeps.ended import Ended
from hn_utils.sweeps.running import begin, carry_out, keep, run_sweep, threads
from hn_utils.sweeps.sweep_file import Resources, Sweep, read_sweep

COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from killing import FEWER
from hn_utils.__main__ import main
for module in [module for name, module in sys.modules.items() if name.startswith("hn_utils")]:
    for constant in FEWER.keys() & vars(module).keys():
        setattr(module, constant, FEWER[constant])
main(["sweep", sys.argv[2]])
"""


def sweep_file(folder: Path, **settings: object) -> Path:
    """A file that sweeps a very small study over two seeds."""
    study, path = folder / "small.json", folder / "both.json"
    study.write_text(json.dumps(STUDY))
    path.write_text(json.dumps({"studies": [str(study)], "seeds": [0, 1], **settings}))
    return path


@pytest.fixture(scope="module")
def fewer():
    """Less of what takes long, in every module."""
    with pytest.MonkeyPatch.context() as patch:
        for module in [module for name, module in sys.modules.items() if name.startswith("hn_utils")]:
            for constant in FEWER.keys() & vars(module).keys():
                patch.setattr(module, constant, FEWER[constant])
        yield patch


@pytest.fixture(scope="module")
def swept(fewer, tmp_path_factory) -> Path:
    """The folder of a sweep that has ended, in this process."""
    folder = tmp_path_factory.mktemp("sweep")
    fewer.setenv("HN_RUNS", str(folder / "runs"))
    fewer.setenv("HN_CACHE", str(folder / "cache"))
    page = run_sweep(read_sweep(sweep_file(folder)))
    assert page == folder / "runs" / "both" / "index.html"
    return page.parent


def left_by(folder: Path) -> dict[str, bytes]:
    """Everything that a sweep leaves but what its tasks said."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "log.txt"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


# --- the file -------------------------------------------------------------------------------------------------------

WRONG = {
    "no such file": (None, "could not read the sweep .*both.json"),
    "no JSON": ("{", "could not read the sweep .*both.json"),
    "a list": ("[]", "both.json must hold settings by name, such as"),
    "a comma too many": ('{"studies": ["organism"],\n}', "both.json: line 1 is not JSON: take away the comma"),
    "no studies": ("{}", r"studies=\(\) must name at least one"),
    "an unknown setting": ({"colours": []}, "unknown setting 'colours': choose of name, studies, seeds"),
    "a setting misspelt": ({"seed": 1}, "unknown setting 'seed': did you mean seeds"),
    "an unknown resource": ({"resources": {"cpus": 1}}, "unknown setting of resources, 'cpus': did you mean num_cpus"),
    "a word for studies": ({"studies": "organism"}, "studies='organism' must be of type tuple"),
    "studies of nothing": ({"studies": []}, r"studies=\(\) must name at least one"),
    "an empty study": ({"studies": [""]}, r"studies=\(''.*\) must name at least one, and none may be empty"),
    "an empty model": ({"models": [""]}, r"models=\(''.*\) must name at least one, and none may be empty"),
    "an unknown study": ({"studies": ["organsim"]}, "unknown study 'organsim': choose one of"),
    "a seed below 0": ({"seeds": [-1]}, "seed=-1 must be at least 0"),
    "a seed twice": ({"seeds": [1, 1]}, "1 names stand for several tasks, such as 'organism-quick-seed-1'"),
    "settings with a seed": ({"settings": {"seed": 1}}, "settings may not hold 'seed', .*: give seeds"),
    "settings that are none": ({"settings": {"colour": 1}}, "unknown setting 'colour'"),
    "no core": ({"resources": {"num_cpus": 0}}, "num_cpus=0 must be at least 1"),
    "half a core": ({"resources": {"num_cpus": 0.5}}, "num_cpus=0.5 must be of type int"),
    "less than no GPU": ({"resources": {"num_gpus": -1}}, "num_gpus=-1 must be at least 0"),
    "retries without end": ({"retries": -1}, "retries=-1 must be at least 0"),
    "a path for a name": ({"name": "../both"}, "name='../both' must be a plain file name"),
    "a model that is not there": ({"models": ["/no/model"]}, "no folder /no/model"),
}


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_a_file_of_no_use_is_told_in_one_sentence_before_anything_starts(content, said, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "carry_out", None)
    path = tmp_path / "both.json"
    if content is not None:
        whole = content if isinstance(content, str) else json.dumps({"studies": ["organism-quick"], **content})
        path.write_text(whole)
    with pytest.raises(SystemExit, match=f"^error: .*{said}"):
        command.main(["sweep", str(path)])


def test_tasks_are_all_combinations_each_under_a_name_that_stays_its_own(study):
    base = Path(study.base)
    sweep = Sweep(
        name="s",
        studies=("organism", "organism-quick"),
        seeds=(0, 7),
        models=(study.instruct, str(base)),
        settings={"n_grid": 9},
    )
    tasks = {task.name: task for task in sweep.tasks()}
    assert len(tasks) == 8
    one = tasks["organism-quick-organism-base-seed-7"]
    other = {"instruct": str(base), "base": "", "checkpoints": ()}
    assert one == replace(load_study("organism-quick"), name=one.name, seed=7, n_grid=9, **other)
    own = tasks["organism-quick-organism-instruct-seed-7"]
    assert (own.base, own.checkpoints) == (study.base, study.checkpoints)
    assert [task.name for task in Sweep(name="s", studies=("organism",)).tasks()] == ["organism"]
    (branch,) = Sweep(name="s", studies=("olmo-2-1b",), models=("who/OLMo@step/10",)).tasks()
    assert (branch.name, branch.instruct) == ("olmo-2-1b-OLMo-step-10", "who/OLMo@step/10")
    assert (branch.base, branch.checkpoints) == ("", ())


def test_a_model_has_the_base_that_is_named_with_it():
    models = ("who/a-it", "who/b-it")
    a, b = Sweep(name="s", studies=("llama-3.1-8b",), models=models, bases={"who/a-it": "who/a"}).tasks()
    assert (a.base, b.base) == ("who/a", "")
    a, b = Sweep(name="s", studies=("llama-3.1-8b",), models=models, settings={"base": "who/all"}).tasks()
    assert a.base == b.base == "who/all"
    with pytest.raises(ValueError, match="bases names the base of 'who/c-it', which is none of models"):
        Sweep(name="s", studies=("llama-3.1-8b",), models=models, bases={"who/c-it": "who/c"})


def test_paths_in_a_sweep_s_file_begin_at_its_folder(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "mine.json").write_text('{"like": "organism"}')
    content = {"studies": ["mine.json", "organism"], "models": ["model", "who/b"], "bases": {"model": "who/a"}}
    (folder / "both.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    sweep = read_sweep(Path("project/both.json"))
    assert sweep.studies == ("project/mine.json", "organism")
    assert (sweep.models, sweep.bases) == (("project/model", "who/b"), {"project/model": "who/a"})


def test_a_cluster_that_is_named_needs_ray_or_must_answer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(SystemExit, match="error: address='10.0.0.1:6379' needs Ray: `pip install"):
        command.main(["sweep", str(sweep_file(tmp_path))])


# --- in this process ------------------------------------------------------------------------------------------------


def test_what_another_study_left_under_a_task_s_name_is_not_written_over(swept, monkeypatch):
    monkeypatch.setattr(running, "carry_out", None)
    sweep = read_sweep(swept.parents[1] / "both.json")
    with pytest.raises(OSError, match=r"small-seed-0 holds .* another study named 'small-seed-0' \(n_grid=5 there"):
        run_sweep(replace(sweep, settings={"n_grid": 6}))
    (swept.parent / "mine").mkdir()
    (swept.parent / "mine" / "study.json").write_text("{}")
    with pytest.raises(OSError, match="mine holds the results of a study: give the sweep a name of its own"):
        run_sweep(replace(sweep, name="mine"))


def test_a_task_ends_as_a_single_run_does(swept, fewer, tmp_path):
    study = load_study(swept.parents[1] / "small.json", seed=1)
    with threads(1):
        command.run(study, tmp_path)
    there = swept / "small-seed-1"
    assert (there / "summary.json").read_bytes() == (tmp_path / "summary.json").read_bytes()
    assert "beyond what shuffled labels pick" in (there / "log.txt").read_text()


def test_threads_are_those_of_the_sweep_and_then_what_they_were(monkeypatch):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr(steps, "run", lambda *_: seen.append(torch.get_num_threads()))
    assert carry_out(load_study(), 2, running.code_version()) == Ended({}, "")
    assert (seen, torch.get_num_threads()) == ([2], before)


def test_what_has_ended_is_not_run_again_unless_something_has_changed(swept, monkeypatch):
    before = left_by(swept)
    sweep = read_sweep(swept.parents[1] / "both.json")
    monkeypatch.setattr(running, "carry_out", None)
    run_sweep(sweep)
    assert left_by(swept) == before

    def left(sweep: Sweep) -> list[str]:
        return [study.name for study in begin(sweep).left()]

    assert left(sweep) == []
    assert left(replace(sweep, seeds=(0, 1, 2))) == ["small-seed-2"]
    assert len(left(replace(sweep, resources=Resources(num_cpus=2)))) == 2  # sums in another order
    with monkeypatch.context() as later:
        later.setattr(running, "code_version", lambda: "another")
        assert len(left(sweep)) == 2
    report = swept / "small-seed-0" / "report.md"
    text = report.read_text()
    report.write_text(text.replace("replicates", "contradicts"))
    assert left(sweep) == ["small-seed-0"]
    report.write_text(text)


def test_killed_between_tasks_it_goes_on_with_the_next_and_ends_with_the_same_bytes(swept, tmp_path, monkeypatch):
    for name in ("HN_RUNS", "HN_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    path = swept.parents[1] / "both.json"
    script = [sys.executable, "-c", COMMAND, str(Path(__file__).resolve().parents[1]), str(path)]
    process = subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first, until = tmp_path / "HN_RUNS" / "both" / "small-seed-0" / "task.json", time.monotonic() + 300
    while not first.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (tmp_path / "HN_RUNS" / "both" / "small-seed-1" / "task.json").exists()
    when = first.stat().st_mtime_ns
    run_sweep(read_sweep(path))
    assert first.stat().st_mtime_ns == when
    assert left_by(tmp_path / "HN_RUNS" / "both") == left_by(swept)


def test_a_task_that_fails_stops_no_other_and_is_tried_again(swept, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    able = {name: (swept / "small-seed-0" / name).read_text() for name in ("summary.json", "report.md")}

    def half(study, *_):
        return Ended({}, "what it said", "too <few> of its answers") if study.seed == 0 else Ended(able, "")

    monkeypatch.setattr(running, "carry_out", half)
    sweep = read_sweep(swept.parents[1] / "both.json")
    told = "1 of 2 tasks failed, such as small-seed-0: too <few> of its answers .*both/index.html compares the others"
    with pytest.raises(OSError, match=told):
        run_sweep(sweep)
    assert "1 of 2 small-seed-0: failed: too <few> of its answers" in capsys.readouterr().out
    assert (tmp_path / "both" / "small-seed-0" / "log.txt").read_text() == "what it said"
    page = (tmp_path / "both" / "index.html").read_text()
    assert "small-seed-0: too &lt;few&gt; of its answers" in page
    assert [study.name for study in begin(sweep).left()] == ["small-seed-0"]


def test_an_error_of_a_task_is_what_it_ended_with(monkeypatch):
    def fails(*_):
        sys.stdout.write("before it failed")
        raise ZeroDivisionError("one by none")

    monkeypatch.setattr(steps, "run", fails)
    ended = carry_out(load_study(), 1, running.code_version())
    assert (ended.files, ended.failure) == ({}, "ZeroDivisionError: one by none")
    assert re.search("before it failed.*Traceback.*one by none", ended.said, re.DOTALL)
    assert "another version of hn_utils" in carry_out(load_study(), 1, "other code").failure


def test_a_task_half_written_has_not_ended(swept, tmp_path, monkeypatch):
    under_way = begin(read_sweep(swept.parents[1] / "both.json"))
    study, record = under_way.studies["small-seed-0"], under_way.records["small-seed-0"]
    files = {name: (swept / study.name / name).read_text() for name in ("summary.json", "report.md")}
    keep(tmp_path, record, Ended(files, ""))
    assert running.finished(tmp_path, record)
    real = running.write_whole

    def killed(path, text):
        if path.name == "report.md":
            raise KeyboardInterrupt
        real(path, text)

    monkeypatch.setattr(running, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, record, Ended(files, ""))
    assert not running.finished(tmp_path, record)


# --- what compares the runs -----------------------------------------------------------------------------------------


def test_the_table_holds_a_row_a_task_with_numbers_as_they_were_found(swept):
    with (swept / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["seed"]) for row in rows] == [("small-seed-0", "0"), ("small-seed-1", "1")]
    for row in rows:
        summary = json.loads((swept / row["task"] / "summary.json").read_text())
        beyond, slope = summary["beyond"]["any"], summary["slopes"]["sycophancy"]["beyond"]
        assert int(row["H-Neurons"]) == summary["h_neurons"]
        assert float(row["H-Neurons beyond what shuffled labels pick"]) == beyond["value"]
        assert float(row["H-Neurons beyond what shuffled labels pick (high)"]) == beyond["high"]
        assert float(row["slope beyond what shuffled labels pick, sycophancy (low)"]) == slope["low"]


def test_the_page_draws_every_run_beside_its_controls_offline(swept, browser):
    page, complaints = opened(browser, swept / "index.html")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 2")
    drawn = page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map(p => p.data.map(t => t.x.length))")
    assert drawn == [[2, 2, 2], [2, 2, 2, 2]]
    assert page.locator("table a").all_inner_texts() == ["small-seed-0", "small-seed-1"]
    for link in page.locator("a").all():
        if (target := link.get_attribute("href")) and not target.startswith("http"):
            assert (swept / target).exists()
    assert complaints == []
    page.close()


def test_a_file_of_one_s_own_rows_that_has_changed_makes_another_record(tmp_path):
    rows = [{"question": "Where was A born?", "answers": "Essel"}]
    own = tmp_path / "mine.jsonl"
    own.write_text(json.dumps(rows[0]))
    study = load_study("organism-quick", questions=str(own), checkpoints=())
    before = running.record_of(study, 1)
    assert running.record_of(study, 1) == before
    own.write_text(json.dumps({**rows[0], "answers": "Corin"}))
    assert running.record_of(study, 1) != before
