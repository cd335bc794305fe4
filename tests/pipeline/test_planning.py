"""A plan counts what a run then does, finds what is kept, and loads no weights for it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import httpx
import numpy as np
import pytest
from families import FAMILIES, make_checkpoint, never_cut, published_files
from huggingface_hub.errors import GatedRepoError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

import hn_utils as hn
from hn_utils.__main__ import main
from hn_utils.answers.asking import prompts_of
from hn_utils.answers.sampling import build_examples, sample_responses
from hn_utils.models.batches import SCORE, LayerSize
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.weightless import WeightlessModel
from hn_utils.pipeline.planning.pace import seconds
from hn_utils.pipeline.planning.plan import memory, plan
from hn_utils.pipeline.planning.work import comparing, reading
from hn_utils.probing import find
from hn_utils.probing.baselines import read
from hn_utils.questions.published.asking import READERS
from hn_utils.questions.question_sets import load_questions
from hn_utils.storage.cache import NotKept, cached, only_looking
from hn_utils.storage.paths import cache_root
from hn_utils.study import JUDGED_SETS, PRESETS, Sampling, Study

PRESSING = ("replies", "likelihood of replies", "log-odds", "ordinary text")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """What other tests left on disk would be taken for these models'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> tuple[HookedModel, Study]:
    """A random Llama and a study of it; no answer is longer than the plan takes it to be."""
    folder = tmp_path_factory.mktemp("planned")
    names = {name: str(make_checkpoint("llama", folder / name, seed)) for seed, name in enumerate(("instruct", "base"))}
    greedy = Sampling(n=2, temperature=0.0, max_new_tokens=5)
    bare = Study(name="planned", **names, questions="published", device="cpu", dtype="float32", sampling=greedy)
    model = HookedModel.load(bare.instruct, bare)
    files = published_files(model, bare, folder)
    sets = ("popqa", "nonexist", "faitheval")
    study = replace(bare, sets=sets, sources=files, n_grid=4, n_control_sets=2, batch_rows=16)
    return HookedModel.load(study.instruct, study), study


@pytest.fixture
def counted(asked):
    """Every forward pass of the model: how many token positions it has."""
    passes: list[int] = []
    network = asked[0].model.base_model
    hook = network.register_forward_pre_hook(lambda _, __, kw: passes.append(kw["input_ids"].numel()), with_kwargs=True)
    asked[0].own_hooks = asked[0].live_hooks()
    yield passes
    hook.remove()
    asked[0].own_hooks = asked[0].live_hooks()


@pytest.fixture
def paced(monkeypatch):
    """Every position takes a second, every step ten: what a machine really takes is no matter of tests."""
    monkeypatch.setattr("hn_utils.pipeline.planning.pace.measured", lambda *_: np.array([1.0, 10.0, 10.0, 5.0]))


def step(planned, name):
    return next(work for work in planned.works if work.step == name)


@pytest.mark.slow
def test_what_was_planned_is_what_is_then_done(asked, counted, paced, monkeypatch):
    model, study = asked
    never_cut(monkeypatch)
    monkeypatch.setattr(find, "N_RANDOM_PROBES", 3)
    monkeypatch.setattr(find, "N_SELECTED", 2)
    monkeypatch.setattr("hn_utils.pipeline.planning.walk.LONGEST", 50)  # random weights do not know when to stop

    def done() -> tuple[int, int]:
        own = len(counted), sum(counted)
        counted.clear()
        return own

    before = plan(study)
    answers = step(before, "answers")
    questions = load_questions(study)
    prompts = set(map(tuple, prompts_of(model.encoder, questions, study)))
    assert (answers.n, answers.kept) == (len(prompts), 0)  # names that this vocabulary does not know are all the same
    responses = sample_responses(model, questions, study)
    draws = {
        tuple(prompt): row for prompt, row in zip(prompts_of(model.encoder, questions, study), responses, strict=True)
    }
    rows = study.sampling.n * (study.sampling.max_new_tokens - 1)
    shared = sum(rows - len({tuple(r.ids[:k]) for r in row for k in range(1, len(r.ids))}) for row in draws.values())
    assert 0 < shared < answers.tokens  # draws that begin alike, which no plan can know
    assert (answers.passes, answers.tokens - shared) == done()

    planned = plan(study)
    answers, contributions, readings = (step(planned, name) for name in ("answers", "contributions", "readings"))
    assert (answers.n, answers.kept, answers.passes) == (0, len(questions), 0)
    assert 0 < planned.hours < before.hours
    kept = [e for e in build_examples(model.encoder, questions, responses, study) if e.label is not None]
    assert contributions.n == readings.n == len({tuple(e.ids) for e in kept})
    collected = hn.collect(model)
    assert (contributions.passes, contributions.tokens) == done()
    assert contributions.disk == pytest.approx(on_disk("contributions"), rel=0.1)
    read(model, collected.kept, study)
    assert (readings.passes, readings.tokens) == done()
    assert readings.disk == pytest.approx(on_disk("readings"), rel=0.1)

    planned = plan(study)
    assert step(planned, "contributions").n == step(planned, "readings").n == 0
    hn.dose_response(model, hn.find(collected))
    passes, tokens = done()
    pressed = [step(planned, name) for name in PRESSING]
    assert sum(work.passes for work in pressed) >= passes > 0.5 * sum(work.passes for work in pressed)
    assert sum(work.tokens for work in pressed) >= tokens
    planned = plan(study)
    assert all(step(planned, name).n == 0 for name in PRESSING)
    assert planned.further == 0
    assert step(planned, "base: answers").n > 0


def on_disk(stage: str) -> int:
    return sum(path.stat().st_size for path in (cache_root() / stage).rglob("*.safetensors"))


def test_another_copy_of_the_model_shares_nothing(asked, paced):
    model, study = asked
    sample_responses(model, load_questions(study), study)
    planned = plan(replace(study, dtype="bfloat16"))
    assert step(planned, "answers").kept == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_known_exactly_from_the_configuration(family, tmp_path):
    folder = str(make_checkpoint(family, tmp_path / family))
    kind = AutoModelForImageTextToText if family == "gemma3-multimodal" else AutoModelForCausalLM
    study = Study(name="bare", instruct=folder, base=folder, questions="published", device="cpu", dtype="float32")
    assert WeightlessModel(folder, study).weight_bytes == sum(
        p.numel() * 4 for p in kind.from_pretrained(folder).parameters()
    )
    shallow = WeightlessModel(folder, study).shallow(2)
    assert (shallow.n_layers, shallow.d_mlp) == (2, 56)


def test_the_plan_prints_as_a_table_and_knows_the_judge(asked, paced):
    _, study = asked
    judge = {"judge": "someone", "judge_url": "http://localhost:1/v1", "judge_price": (1.0, 2.0)}
    planned = plan(replace(study, name="judged", seed=9, **judge))
    n = len(load_questions(study)) * study.sampling.n
    assert planned.judge_calls >= n
    assert 0 < planned.dollars < 1
    assert f"someone: at most {planned.judge_calls:,} calls, at most $" in repr(planned)
    assert repr(planned).splitlines()[1].split() == ["step", "to", "do", "kept", "passes", "tokens", "time", "disk"]
    assert planned._repr_html_().count("<tr>") == len(planned.works) + 2
    assert planned.models == 2
    assert planned.device_memory > 2 * planned.weights


@pytest.mark.slow
def test_the_command_line_loads_no_weights(monkeypatch, capsys):
    monkeypatch.setattr(HookedModel, "load", None)
    main(["run", "--study", "organism", "--questions", "20", "--plan"])
    told = capsys.readouterr().out
    assert told.startswith("plan of organism\n")
    assert "checkpoints: answers" in told
    assert "3 models" in told


def test_a_study_of_one_s_own_questions_needs_no_other_file(asked, paced, monkeypatch, tmp_path):
    _, study = asked
    pets = [
        f"{kind} {pet}" for kind in ("shy", "lazy", "noisy", "tiny") for pet in ("goose", "otter", "heron", "raven")
    ]
    rows = [
        {"question": f"What does the {pet} {verb}?", "answers": f"{verb} {pet}"}
        for pet in pets
        for verb in ("eat", "love")
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for module in ("asking", "pressing"):
        monkeypatch.setattr(f"hn_utils.questions.published.{module}.read_rows", None)
    planned = plan(replace(study, questions=str(tmp_path / "mine.jsonl"), sources={}))
    assert step(planned, "answers").n + step(planned, "answers").kept == len(rows)
    assert step(planned, "replies").n > 0
    assert step(planned, "ordinary text").n == step(planned, "log-odds").n == 0  # no text, and no claim is pressed


def test_what_cannot_be_read_is_said_before_anything_starts(asked, tmp_path, monkeypatch):
    _, study = asked
    with pytest.raises(OSError, match="no model in folder .*: it holds no config.json"):
        plan(replace(study, instruct=str(tmp_path)))
    with pytest.raises(ValueError, match="dtype='float31' is not a torch dtype"):
        plan(replace(study, dtype="float31"))

    said = httpx.Response(403, request=httpx.Request("GET", "https://hub.example/model"))

    def gated(*_, **__):
        raise OSError("no access") from GatedRepoError("gated", response=said)

    monkeypatch.setattr(AutoConfig, "from_pretrained", gated)
    with pytest.raises(OSError, match="hf auth login"):
        plan(replace(study, instruct="owner/name"))


@pytest.mark.parametrize("name", ["gemma-3-4b", "qwen2.5-0.5b"])
def test_a_trial_asks_the_same_models_little(name):
    trial, whole = PRESETS[f"{name}-smoke"], PRESETS[name]
    assert (trial.instruct, trial.base, trial.dtype, trial.chat_prompt) == (
        whole.instruct,
        whole.base,
        whole.dtype,
        whole.chat_prompt,
    )
    assert trial.n_questions == 200
    assert [s for s in trial.sets if s in READERS] == ["triviaqa"]
    assert not set(JUDGED_SETS) & set(trial.sets)


def test_what_is_no_pass_of_a_model_is_counted_too(asked, paced, monkeypatch):
    _, study = asked
    monkeypatch.setattr("hn_utils.pipeline.planning.pace.statistics", lambda *_: (2.0, 1.0))
    planned = plan(study)
    took = {work.step: seconds for work, seconds in zip(planned.works, planned.seconds, strict=True)}
    tests = Counter(q.part for q in load_questions(study) if q.split == "test")
    assert took["loading"] == 2 * 5.0  # the instruct model and the base
    refits = 3 * 100 + 2 * 100  # random sets of three kinds, picks on shuffled labels in two forms
    paths = 2 * 100  # by which the latter are picked, each as long as three refits
    assert took["probes"] == pytest.approx((refits + 3 * paths) * 2.0, rel=0.01)  # the rest takes no time here
    assert took["intervals"] == 625 * (tests.total() + tests["standard"]) + 1_100 * tests["standard"]


def test_what_control_sets_take_beyond_the_first_is_told_apart(asked, paced):
    _, study = asked
    study = replace(study, n_graded_sets=10)  # log-odds are read beside the first ten and no more
    few, some, more = (plan(replace(study, n_control_sets=n)) for n in (10, 20, 30))
    for name in PRESSING[:3]:
        assert step(few, name) == step(more, name)  # the first ten of either kind
    assert few.further == 0
    assert "control sets" not in repr(few)
    assert more.further == pytest.approx(2 * some.further, rel=0.02)
    own = sum(seconds for work, seconds in zip(few.works, few.seconds, strict=True) if work.step in PRESSING[:3])
    assert 0.5 * own < some.further < own  # as many sets once more, without what is scaled and read beside them
    assert "if every behaviour goes on to 30, at most " in repr(more)


def test_two_endings_are_read_behind_each_beginning():
    small = LayerSize(1, 1)
    done = comparing("log-odds", [3, 5, 4], 2, 2, small)
    assert (done.n, done.passes) == (3, 4)  # two batches, each of a pass for the beginnings and one for the endings
    assert done.tokens == (2 * 5 + 4 * 1) + (1 * 3 + 2 * 1)  # the last token of an ending is not read
    assert comparing("log-odds", [3], 1, 2, small).passes == 1


def test_attention_is_in_the_plan(asked, paced):
    _, study = asked
    model, few = WeightlessModel(study.instruct, study), [reading("text", [10] * 8, 64, 64, LayerSize(4, 1))]
    many = [reading("text", [400] * 8, 64, 64, LayerSize(4, 1))]
    scores = 8 * 4 * 400**2 * SCORE  # rows, heads, and pairs of positions, of one layer at a time
    assert memory(model, many, 0, 1)[0] - memory(model, few, 0, 1)[0] > 0.99 * scores


def test_looking_computes_nothing():
    def compute(some: list[int]) -> list[dict]:
        return [{"value": i} for i in some]

    cached("looked-at", {}, ["a", "b"], compute, 2)
    with only_looking():
        assert [row["value"] for row in cached("looked-at", {}, ["b", "a"], compute, 2).records()] == [1, 0]
        with pytest.raises(NotKept) as raised:
            cached("looked-at", {}, ["a", "c", "b", "d"], compute, 2)
    assert (raised.value.stage, list(raised.value.missing), raised.value.kept) == ("looked-at", [1, 3], 2)
    cached("looked-at", {}, ["c"], compute, 2)


def test_what_takes_too_long_is_told_in_proportion(monkeypatch):
    clock = iter(np.arange(0.0, 1e6, 2.0))  # every trial takes two seconds
    monkeypatch.setattr("hn_utils.pipeline.planning.pace.perf_counter", lambda: next(clock))
    assert seconds(lambda n: 3.0 * n, 100) == pytest.approx(300)
    monkeypatch.setattr("hn_utils.pipeline.planning.pace.perf_counter", lambda: 0.0)
    assert seconds(lambda n: 1.0 + 3.0 * n, 100) == pytest.approx(301)
