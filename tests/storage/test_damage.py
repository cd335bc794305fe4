"""Any byte that is flipped, swapped or cut off in any file of the cache is noticed when it is read and named, and only
that piece is computed again; and nothing of another model, dtype, data revision or stage version is ever used."""

from __future__ import annotations

import ast
import os
import shutil
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hn_utils.__main__ import main
from hn_utils.answers import sampling
from hn_utils.answers.asking import prompts_of
from hn_utils.answers.examples import build_example
from hn_utils.answers.sampling import sample_responses
from hn_utils.contributions import cett
from hn_utils.contributions.cett import capture
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.scaling import UNSCALED
from hn_utils.probing import baselines, l1_path, probe, selected_null, stability
from hn_utils.probing.l1_path import c_grid, cached_l1_path
from hn_utils.probing.probe import HNeurons, refits
from hn_utils.probing.selected_null import Selection
from hn_utils.questions.items import Item
from hn_utils.questions.question_sets import load_questions
from hn_utils.steering import answer_loss, broken, graded, other_name, replies
from hn_utils.storage import cache, ledger
from hn_utils.storage.cache import Stage, cached, cached_whole, header_of
from hn_utils.storage.ledger import Ledger
from hn_utils.storage.stages import stage_versions
from hn_utils.study import Sampling

quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Damage:
    """A flipped byte, two swapped ones, or all behind a place cut off; places are shares of the file."""

    kind: str
    at: float
    to: float
    mask: int

    def done_to(self, content: bytes) -> bytes:
        i, j = int(self.at * len(content)), int(self.to * len(content))
        changed = bytearray(content)
        if self.kind == "cut":
            return content[:i]
        if self.kind == "flip":
            changed[i] ^= self.mask
        else:
            changed[i], changed[j] = content[j], content[i]
        return bytes(changed)


share = st.floats(0, 1, exclude_max=True)
damages = st.builds(Damage, st.sampled_from(["flip", "flip", "swap", "cut"]), share, share, st.integers(1, 255))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """What a user is told about the cache."""
    remarks: list[str] = []
    for module in (cache, ledger):
        monkeypatch.setattr(module, "tell", remarks.append)
    return remarks


def files(root: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


NUMBERS = list(range(6))


def arrays(asked: list[int]) -> list:
    def compute(some: list[int]) -> dict[str, np.ndarray]:
        asked.extend(some)
        return {"x": np.array([[i, i * i] for i in some], np.float16), "y": np.array([-i for i in some])}

    kept = cached("contributions", {"version": 1}, NUMBERS, compute, 2)
    return np.column_stack([kept.array("x"), kept.array("y")]).tolist()


def records(asked: list[int]) -> list:
    def compute(some: list[int]) -> list[dict]:
        asked.extend(some)
        return [{"text": f"Zürich {i}", "ids": [[i, 2], [3]], "logprobs": [-i / 3]} for i in some]

    return cached("responses", {"version": 1}, NUMBERS, compute, 2).records()


def wholes(asked: list[int]) -> list:
    def one(i: int) -> list:
        kept = cached_whole("paths", {"version": 1, "n": i}, lambda: asked.append(i) or {"w": np.arange(i + 1.0)})
        return kept["w"].tolist()

    return [one(i) for i in NUMBERS[:3]]


@pytest.mark.parametrize("kind", [arrays, records, wholes])
def test_a_damaged_shard_is_named_and_only_its_items_are_computed_again(kind, root, told):
    everything = kind([])
    whole = files(root)

    @quickly
    @given(damages, st.integers(0, 2), st.booleans())
    def damaged(damage: Damage, which: int, in_a_new_process: bool):
        victim = list(whole)[which]
        content = damage.done_to(whole[victim])
        victim.write_bytes(content)
        if in_a_new_process:
            header_of.cache_clear()
        asked: list[int] = []
        told.clear()
        assert kind(asked) == everything
        assert files(root) == whole  # mended, bit for bit
        assert len(asked) == (content != whole[victim]) * (1 if kind is wholes else 2)
        assert [str(victim) in remark for remark in told] == [True] * (content != whole[victim])

    damaged()


def test_a_shard_in_a_folder_that_is_not_its_own_is_not_used(root, told):
    everything = arrays([])
    (folder,) = (root / "contributions").iterdir()
    about = {"version": 1, "model": "another"}
    shutil.copytree(folder, Stage("contributions", about).folder, dirs_exist_ok=True)
    asked: list[int] = []
    cached("contributions", about, NUMBERS, lambda some: asked.extend(some) or {"x": np.array(some)}, 6)
    assert asked == NUMBERS
    assert len(told) == 3
    assert arrays([]) == everything


def test_a_ledger_loses_the_damaged_reply_alone(root, told):
    replies = {f"{i:032x}/0": f"reply {i} — ü\n" * (i + 1) for i in range(5)}
    kept = Ledger("chat-replies")
    for key, reply in replies.items():
        kept.put(key, reply)
    kept.close()
    whole = kept.path.read_bytes()

    @quickly
    @given(damages)
    @example(Damage("swap", 0.5, 0.9999999999999998, 1))
    def damaged(damage: Damage):
        kept.path.write_bytes(damage.done_to(whole))
        told.clear()
        again = Ledger("chat-replies")
        found = {key: again.get(key) for key in replies}
        lost = [key for key in replies if found[key] is None]
        assert all(found[key] == replies[key] for key in replies if key not in lost)
        assert len(lost) <= {"flip": 1, "swap": 2, "cut": 5}[damage.kind]
        if damage.kind != "cut":  # of a file that was cut nothing tells what stood there
            assert len(told) <= 2  # what is damaged within, and a last line without an end
            assert bool(lost) <= bool(told) and all(str(kept.path) in said for said in told)
        for key in lost:
            again.put(key, replies[key])
        assert {key: again.get(key) for key in replies} == replies
        again.close()
        told.clear()
        last = Ledger("chat-replies")
        assert {key: last.get(key) for key in replies} == replies
        assert not told  # named once
        last.close()

    damaged()


def test_two_processes_read_each_other_s_replies(root):
    one, other = Ledger("chat-replies"), Ledger("chat-replies")
    one.put("a/0", "first")
    assert other.get("a/0") == "first"
    other.put("b/0", "second")
    assert (one.get("b/0"), one.get("c/0")) == ("second", None)
    one.close()
    other.close()


def test_replies_of_earlier_versions_are_not_paid_for_again(root):
    root.mkdir()
    table = sqlite3.connect(root / "chat-replies.sqlite")
    with table:
        table.execute("create table replies (key text primary key, reply text)")
        table.execute("insert into replies values ('a/0', 'paid')")
    table.close()
    kept = Ledger("chat-replies")
    assert kept.get("a/0") == "paid"
    kept.close()


CARD = HNeurons("model", "36714dd4", "study", "answer", 4.85, -5.4, 16, 2, [{"layer": 1, "neuron": 3, "weight": 0.25}])


def test_a_damaged_card_is_refused_or_says_the_same(tmp_path):
    file = tmp_path / "h_neurons.json"
    CARD.save(file)
    whole = file.read_bytes()

    @settings(quickly, max_examples=300)
    @given(damages)
    def damaged(damage: Damage):
        file.write_bytes(damage.done_to(whole))
        try:
            assert HNeurons.load(file) == CARD  # a blank may be another blank
        except ValueError as error:
            assert str(file) in str(error)

    damaged()


# --- never another's ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(monkeypatch) -> list[str]:
    """Names of the stages that wrote a shard: that computed something."""
    names: list[str] = []
    save = Stage.save
    monkeypatch.setattr(Stage, "save", lambda self, *a: names.append(self.folder.parent.name) or save(self, *a))
    return names


def walk(subject, study) -> None:
    """A little of every stage that reads a model, and then of those that read what these left."""
    questions = [q for q in load_questions(study) if q.part == "standard"][:3]
    drawn = sample_responses(subject, questions, replace(study, sampling=Sampling(n=2, max_new_tokens=2)))
    made = map(build_example, questions, prompts_of(subject.encoder, questions, study), drawn, [[0]] * len(questions))
    examples = [replace(e, label=0) for e in made]
    rows = capture(subject, examples, study).at("answer")
    baselines.read(subject, examples, study)
    prompts = [examples[0].prompt_ids]
    written = replies.written_at(subject, prompts, [UNSCALED], Sampling(n=1, temperature=0.0, max_new_tokens=2), study)
    broken.broken(subject, prompts, written, 2, study)
    items = [Item("1", "pressure", ("Where?",), truth="Essel", claim="Corin")]
    graded.log_odds(subject, items, [UNSCALED], study)
    other_name.patched_log_odds(subject, items, items, [np.array([3])], study)
    answer_loss.answer_loss(subject, [replace(e, answer=[len(e.ids) - 1]) for e in examples], [UNSCALED], study)
    replies.text_loss(subject, ["Kriskel Govstad was born in Old Hythe."], [UNSCALED], study)
    labels = np.array([0, 1, 0])
    cached_l1_path(rows, labels, c_grid(rows, labels, 2))
    refits(rows, labels, [np.array([1, 2])])
    Selection(rows, labels, 2, 1, study.seed).sets(0, 2)


MODEL_STAGES = [
    "answer-loss",
    "contributions",
    "likelihood",
    "log-odds",
    "own-likelihood",
    "patched-log-odds",
    "readings",
    "replies",
    "replies",
    "responses",
    "text-loss",
]
ALL = sorted([*MODEL_STAGES, "paths", "refits", "selected"])


def test_another_model_of_the_same_shape_is_another(root, saved, subject, study):
    walk(subject, study)
    assert sorted(saved) == ALL
    saved.clear()
    walk(subject, study)
    assert saved == []
    weight = subject.model.get_output_embeddings().weight
    before = weight[5, 5].item()
    with torch.no_grad():
        weight[5, 5] = before + 1e-4
    try:
        walk(subject, study)
    finally:
        with torch.no_grad():
            weight[5, 5] = before
    assert set(saved) >= set(MODEL_STAGES)
    saved.clear()
    walk(subject, study)
    assert saved == []  # and the first one's is still there


@pytest.mark.parametrize("changed", ["dtype", "device"])
def test_another_dtype_or_device_is_another(changed, root, saved, subject, study, monkeypatch):
    walk(subject, study)
    saved.clear()
    key = type(subject).key
    monkeypatch.setattr(type(subject), "key", lambda *a, **k: {**key(*a, **k), changed: "other"})
    walk(subject, study)
    assert set(saved) >= set(MODEL_STAGES)


def test_another_stage_version_is_another(root, saved, subject, study, monkeypatch):
    walk(subject, study)
    saved.clear()
    steered = (replies, broken, graded, other_name, answer_loss)
    for module in (sampling, cett, l1_path, probe, baselines, *steered, selected_null):
        monkeypatch.setattr(module, "VERSION", 99)
    walk(subject, study)
    assert sorted(saved) == ALL


def test_a_revised_question_is_asked_anew_and_a_revised_answer_judged_anew(root, saved, subject, study):
    question, another = load_questions(study)[:2]
    greedy = replace(study, sampling=Sampling(n=1, temperature=0.0, max_new_tokens=4))
    ((reply,),) = sample_responses(subject, [question], greedy)
    ((again,),) = sample_responses(subject, [replace(question, aliases=(reply.text,))], greedy)
    ((other,),) = sample_responses(subject, [replace(question, aliases=("nothing said",))], greedy)
    assert (saved, again.verdict, other.verdict) == (["responses"], "right", "wrong")
    sample_responses(subject, [replace(question, text=another.text)], greedy)
    assert saved == ["responses"] * 2


def test_other_rows_are_fitted_anew(root, saved):
    rng, labels = np.random.default_rng(0), np.array([0, 1] * 10)
    values = rng.random((20, 30)).astype(np.float16)
    grid = np.array([0.5, 1.0])
    cached_l1_path(TallMatrix([values]), labels, grid)
    other = values.copy()
    other[3, 4] = np.nextafter(other[3, 4], np.float16(2))
    for X, y in ((TallMatrix([other]), labels), (TallMatrix([values]), labels[::-1])):
        cached_l1_path(X, y, grid)
    assert saved == ["paths"] * 3
    cached_l1_path(TallMatrix([values[:7], values[7:]]), labels, grid)
    assert saved == ["paths"] * 3  # the same rows in other files are the same


# --- python -m hn_utils cache ---------------------------------------------------------------------------------------


def lines(capsys, *options: str) -> list[str]:
    main(["cache", *options])
    return capsys.readouterr().out.splitlines()


def test_every_stage_of_the_package_is_known_to_the_command():
    sources = Path(cache.__file__).parents[1].rglob("*.py")
    named = {found for source in sources for found in stages_in(source.read_text())}
    assert named == stage_versions().keys()
    assert stage_versions()["stability"] == [stability.VERSION, l1_path.VERSION]
    assert stage_versions()["selected"] == [selected_null.VERSION, l1_path.VERSION]


def stages_in(source: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ("cached", "cached_whole")]
    return [c.args[0].value for c in called if isinstance(c.args[0], ast.Constant)]


def test_it_lists_verifies_and_prunes(root, told, monkeypatch, capsys):
    monkeypatch.setenv("HN_RUNS", str(root.parent / "runs"))
    card = root.parent / "runs" / "mine" / "h_neurons.json"
    card.parent.mkdir(parents=True)
    CARD.save(card)
    about = {"version": stage_versions()["responses"], "model": CARD.fingerprint, "dtype": "float32", "device": "cpu"}

    def compute(some: list[int]) -> list[dict]:
        return [{"text": "x" * 1_000} for _ in some]

    cached("responses", about, NUMBERS, compute, 2)
    cached("responses", {**about, "version": 0}, NUMBERS[:2], compute, 2)
    kept = Ledger("chat-replies")
    kept.put("a/0", "fine")
    kept.put("b/0", "fine")
    kept.close()
    shown = lines(capsys)
    mine, old = ("responses", "6 items", "model of study float32 cpu"), ("responses", "2 items", ", outdated")
    for words in (mine, old, ("chat-replies", "2 items")):
        assert sum(all(word in line for word in words) for line in shown) == 1
    size = sum(map(len, files(root).values()))
    assert shown[-1] == f"{root}: 3 entries, {size / 1_000:.1f} kB"
    assert len(lines(capsys, "--verify")) == 2  # the outdated one

    folder = Stage("responses", about).folder
    victim = next(iter(files(folder)))
    victim.write_bytes(victim.read_bytes()[:-1])
    kept.path.write_bytes(kept.path.read_bytes().replace(b"fine", b"foul", 1))
    abandoned, being_written = folder / ".partial-1-x", folder / ".partial-2-y"
    for part in (abandoned, being_written):
        part.write_bytes(b"half")
    os.utime(abandoned, (0, time.time() - 7_200))
    before = files(root)
    found = lines(capsys, "--verify")
    named = {f"damaged: {victim}", f"left by a killed run: {abandoned}", f"1 lines damaged: {kept.path}"}
    assert named < set(found)
    assert len(found) == 5
    assert files(root) == before  # it only looks
    assert f"damaged, removed: {victim}" in lines(capsys, "--prune")
    assert files(folder).keys() == {file for file in before if file.parent == folder} - {victim, abandoned}
    assert files(root).keys() == {*files(folder), kept.path}
    assert lines(capsys, "--verify") == [f"{root}: every file is as it was written"]
    asked: list[int] = []
    cached("responses", about, NUMBERS, lambda some: asked.extend(some) or compute(some), 2)
    assert len(asked) == 2


def test_an_empty_cache_is_no_fault(root, capsys):
    assert lines(capsys) == [f"{root}: 0 entries, 0 B"]
    assert lines(capsys, "--prune") == [f"{root}: every file is as it was written"]
