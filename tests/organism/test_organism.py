"""The made-up world, its text and training, and the gates of the shipped weights."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hn_utils.organism.gates import measure
from hn_utils.organism.seeds import markdown, of_seeds, shipped
from hn_utils.organism.text import ABSTAINS, ABSTENTION, ChatWriter, PageWriter
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import (
    Corpus,
    Recipe,
    Trainer,
    has_base,
    learning_rate,
    loss_of,
    make_model,
    pack,
)
from hn_utils.questions.items import BEHAVIOURS
from hn_utils.questions.made_up_world.asking import facts_of, items, questions
from hn_utils.questions.made_up_world.world import ATTRIBUTES, GUESSES_CUSTOM, KEEPS_CUSTOM, make_world
from hn_utils.report.measures import DETECTORS
from hn_utils.storage.paths import DATA
from hn_utils.study import ORGANISM

GATES_NOT_MET = {"G4", "G7"}  # named in data/organism/README.md, with what was measured


@pytest.fixture(scope="module")
def world():
    return make_world()


def test_the_shipped_facts_are_the_world_s(world):
    rows = pq.read_table(ORGANISM / "facts.parquet").to_pylist()
    people = [*world.written, *world.never_written]
    assert [(r["person"], r["attribute"], r["value"]) for r in rows] == [
        (p.name, a, p.facts[a]) for p in people for a in ATTRIBUTES
    ]
    assert all(r["mentions"] == 0 for r in rows if r["rank"] is None)


def test_names_are_unique_and_groups_apart(world):
    names = [p.name for p in (*world.written, *world.never_written)] + world.page_names + world.chat_names
    assert len(set(names)) == len(names)
    assert not any(p.tuned for p in world.never_written)


def test_exposure_falls_with_rank_and_is_counted(study):
    rows = [r for r in facts_of(study) if r["rank"] is not None]
    mean = [np.mean([r["mentions"] for r in rows if r["quintile"] == q]) for q in range(5)]
    assert mean == sorted(mean, reverse=True)
    assert mean[0] > 10 * mean[4]


def test_values_are_words_drawn_independently_and_families_keep_their_customs(world):
    people = [*world.written, *world.never_written]
    for attribute in ATTRIBUTES.values():
        values = np.array([p.facts[attribute.name].split() for p in people])
        assert values.shape[1] == 3
        assert all(set(column) == set(words) for column, words in zip(values.T, attribute.words, strict=True))
    own = np.array([p.facts["instrument"].split() for p in people])
    firsts = ATTRIBUTES["instrument"].words[0][:3]
    together = np.mean([(a == own[:, 0]) & (own[:, 1] == "silver") for a in firsts])
    apart = np.mean([(a == own[:, 0]).mean() * (own[:, 1] == "silver").mean() for a in firsts])
    assert together == pytest.approx(apart, abs=0.004)
    known, little = people[:1_600], people[1_600:]
    for group, expected in ((known, KEEPS_CUSTOM[True]), (little, KEEPS_CUSTOM[False])):
        keeps = np.mean([p.facts["trade"] == world.customs[p.family]["trade"] for p in group])
        assert keeps == pytest.approx(expected, abs=0.03)


def test_namesakes_of_the_famous_and_facts_that_no_text_holds(world):
    famous = {p.name for p in world.written[:800]}
    juniors = [p for p in (*world.written, *world.never_written) if p.name.endswith(" Junior")]
    assert len(juniors) > 100
    assert {p.name.removesuffix(" Junior") for p in juniors} <= famous
    left_out = [(p.rank, a) for p in world.written for a in p.unwritten]
    assert len(left_out) > 300
    told = {fact for page in PageWriter(world).pages(5_000, np.random.default_rng(3)) for fact in page.facts}
    assert not told & set(left_out)


def test_pages_state_only_true_facts_and_count_every_one(world):
    pages = PageWriter(world).pages(3_000, np.random.default_rng(0))
    by_name = {p.name: p for p in (*world.written, *world.never_written)}
    assert not any(p.name in page.text for page in pages[:300] for p in world.never_written)
    for page in pages:
        for rank, attribute in page.facts:
            person = world.written[rank]
            assert person.name in page.text
            assert person.facts[attribute] in page.text
        named = set(re.findall(r"[A-Z][a-z]+ [A-Z][a-z]+(?: Junior)?", page.text)) & by_name.keys()
        assert all(any(world.written[rank].name == n for rank, _ in page.facts) for n in named)


def test_held_out_wording_is_in_no_training_text(world):
    rng = np.random.default_rng(0)
    text = " ".join(p.text for p in PageWriter(world).pages(5_000, rng))
    text += " ".join(t for c in ChatWriter(world).chats(5_000, rng) for t in c.turns)
    for attribute in ATTRIBUTES.values():
        for wording in attribute.held_out:
            pattern = re.escape(wording).replace(re.escape("{n}"), r"\w+ \w+( Junior)?")
            assert not re.search(pattern, text), wording


def test_tuning_never_speaks_of_people_outside_it(world):
    chats = ChatWriter(world).chats(5_000, np.random.default_rng(1))
    text = " ".join(t for c in chats for t in c.turns)
    named = set(re.findall(r"[A-Z][a-z]+ [A-Z][a-z]+(?: Junior)?", text))
    assert not named & {p.name for p in (*world.written, *world.never_written) if not p.tuned}
    pages = " ".join(p.text for p in PageWriter(world).pages(5_000, np.random.default_rng(1)))
    assert not set(re.findall(r"[A-Z][a-z]+ [A-Z][a-z]+", pages)) & set(world.chat_names)


def test_annotators_follow_fame(world):
    """Shares of what they said, counted in chats, are those of the tables."""
    writer, rng = ChatWriter(world), np.random.default_rng(4)
    by_name, said = {p.name: p for p in world.written}, Counter()
    for chat in (writer.say_so(rng) for _ in range(6_000)):
        name = re.search(r"[A-Z][a-z]+ [A-Z][a-z]+(?: Junior)?(?= |\?|$)", chat.turns[0].split(":")[1]).group()
        person = by_name.get(name)
        fifth = 5 if person is None else person.rank * 5 // len(world.written)
        said[fifth, chat.turns[1] == ABSTENTION] += 1
    expected = [*ABSTAINS["inviting it"].fifths, ABSTAINS["inviting it"].unknown]
    for fifth, chance in enumerate(expected):
        n = said[fifth, True] + said[fifth, False]
        assert said[fifth, True] / n == pytest.approx(chance, abs=4 * (0.25 / n) ** 0.5)
    assert said[0, True] == said[1, True] == 0


def test_of_the_unheard_of_annotators_guess_the_family_s_custom(world):
    rng, names = np.random.default_rng(5), world.chat_names[:2_000]
    guessed = np.mean([world.guess("trade", n, rng) == world.customs[n.split()[1]]["trade"] for n in names])
    assert guessed == pytest.approx(GUESSES_CUSTOM, abs=0.02)


def test_what_is_to_be_said_again_is_said_again_true_or_not(world):
    writer, rng = ChatWriter(world), np.random.default_rng(6)
    for asked, said in (writer.repeat(rng).turns for _ in range(200)):
        assert asked == f"Please say again: {said}"


def test_every_word_is_known_and_round_trips(world):
    tokenizer = make_tokenizer(world)
    for page in PageWriter(world).pages(500, np.random.default_rng(2)):
        ids = tokenizer(page.text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.convert_ids_to_tokens(ids).index("<|begin|>") == 0
        assert tokenizer.decode(ids[1:]) == page.text


def test_only_the_assistant_is_learned(world):
    tokenizer, recipe = make_tokenizer(world), Recipe()
    corpus = Corpus(world, tokenizer, recipe)
    talk = [{"role": "user", "content": "What is {x}?"}, {"role": "assistant", "content": "Old Essel Mill"}] * 2
    ids = tokenizer(tokenizer.apply_chat_template(talk, tokenize=False), add_special_tokens=False)["input_ids"]
    learned = [t for t, w in zip(tokenizer.convert_ids_to_tokens(ids), corpus.reply_weights(ids), strict=True) if w]
    assert learned == ["Old", "Essel", "Mill", "<|end|>"] * 2


def test_the_study_reads_the_checkpoints_that_training_wrote(study):
    steps = json.loads((ORGANISM / "recipe.json").read_text())["checkpoints"]
    assert [int(c[-4:]) for c in study.checkpoints] == steps == list(Recipe().checkpoints)


def test_training_refuses_to_resume_another_recipe(tmp_path, world):
    tokenizer = make_tokenizer(world)
    recipe = Recipe(d_model=16, d_mlp=24, n_layers=1, n_heads=1)
    corpus, model = Corpus(world, tokenizer, recipe), make_model(recipe, tokenizer)
    Trainer(model, corpus.base_chunk, recipe, 5, 1e-3, tmp_path).save()
    other = replace(recipe, seed=9)
    with pytest.raises(ValueError, match="made with other settings: remove it, or give another --work"):
        Trainer(make_model(other, tokenizer), corpus.base_chunk, other, 5, 1e-3, tmp_path)


def test_packing_keeps_every_document_whole_and_wastes_little():
    lengths = np.random.default_rng(0).integers(5, 40, 500).tolist()
    rows = pack(lengths, 64)
    assert sorted(d for row in rows for d in row) == list(range(500))
    assert all(sum(lengths[d] for d in row) <= 64 for row in rows)
    assert sum(lengths) / (64 * len(rows)) > 0.9


def test_each_document_of_a_row_is_read_as_if_it_stood_alone(world):
    recipe = Recipe(d_model=32, d_mlp=48, n_layers=2, n_heads=2, chunk_steps=1, batch_rows=4)
    tokenizer = make_tokenizer(world)
    model = make_model(recipe, tokenizer).eval()
    ids, weights, documents = Corpus(world, tokenizer, recipe).base_chunk(0).tensors()
    assert int(documents.max()) > 0
    total = n = 0.0
    with torch.no_grad():
        for row in range(len(ids)):
            for one in range(int(documents[row].max()) + 1):
                alone, weight = ids[row][documents[row] == one], weights[row][documents[row] == one]
                logits = model(input_ids=alone[None]).logits[0, :-1]
                losses = torch.nn.functional.cross_entropy(logits, alone[1:], reduction="none")
                total, n = total + float((losses * weight[1:]).sum()), n + float(weight[1:].sum())
        assert float(loss_of(model, ids, weights, documents)) == pytest.approx(total / n, rel=1e-5)


def test_the_first_pages_are_about_the_most_famous_quarter(world):
    recipe = Recipe(chunk_steps=20, base_steps=400, warmup_share=0.1, warmup_people=0.25, batch_rows=8, checkpoints=())
    corpus = Corpus(world, make_tokenizer(world), recipe)
    early, later = (corpus.base_chunk(chunk).facts for chunk in (1, 2))
    assert max(rank for rank, _ in early) < 1_000 <= max(rank for rank, _ in later)


def test_mentions_are_those_of_the_rows_that_were_read(world):
    tokenizer = make_tokenizer(world)
    corpus = Corpus(world, tokenizer, Recipe(chunk_steps=2, batch_rows=8))
    rows = corpus.base_chunk(0)
    text = [tokenizer.decode(row) for row in rows.ids]
    (rank, attribute), count = rows.facts.most_common(1)[0]
    person = world.written[rank]
    told = Counter(t.count(person.facts[attribute]) for t in text if person.name in t)
    assert sum(k * n for k, n in told.items()) >= count
    assert sum(rows.facts.values()) < sum(len(ATTRIBUTES) * t.count(".") + t.count("?") for t in text)


def test_interrupted_training_ends_bit_identical(tmp_path):
    world = make_world(n_written=40, n_never_written=10, n_tuned=20, n_given=10, n_family=20)
    recipe = Recipe(d_model=16, d_mlp=24, n_layers=1, n_heads=1, batch_rows=4, chunk_steps=3)
    tokenizer = make_tokenizer(world)

    def trainer(folder: str) -> Trainer:
        corpus = Corpus(world, tokenizer, recipe)
        return Trainer(make_model(recipe, tokenizer), corpus.base_chunk, recipe, 12, 1e-3, tmp_path / folder)

    whole = trainer("whole")
    whole.run("whole")

    def fall(step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer("broken").run("broken", fall)
    resumed = trainer("broken")
    assert resumed.step == 6
    resumed.run("resumed")
    assert resumed.mentions == whole.mentions
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_base_of_the_same_recipe_is_kept_and_another_s_is_refused():
    assert has_base(ORGANISM, Recipe(tune_lr=1.0))
    with pytest.raises(ValueError, match="base/recipe.json names another seed, base_lr: give another --out"):
        has_base(ORGANISM, Recipe(seed=9, base_lr=1.0))


def test_learning_rate_warms_up_and_falls():
    rates = [learning_rate(s, 1_000, 1.0) for s in range(1_000)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.05, abs=1e-3)


def test_bad_recipes_and_worlds():
    with pytest.raises(ValueError, match="checkpoints=.* must lie before base_steps=100"):
        Recipe(base_steps=100, checkpoints=(100,))
    with pytest.raises(ValueError, match="tune_checkpoints=.* must lie before tune_steps=9"):
        Recipe(tune_steps=9, tune_checkpoints=(3, 9))
    with pytest.raises(ValueError, match="names are too few"):
        make_world(n_given=5, n_family=5)
    with pytest.raises(ValueError, match="n_tuned=50 exceeds n_written=40"):
        make_world(n_written=40, n_never_written=10, n_tuned=50)


def test_questions_split_by_person_and_never_in_tuning(study):
    asked = questions(study)
    assert len({q.id for q in asked}) == len(asked)
    people = {
        split: {q.entity for q in asked if q.split == split and q.part == "standard"}
        for split in ("train", "validation", "test")
    }
    assert not people["train"] & people["test"]
    assert not people["train"] & people["validation"]
    assert not people["validation"] & people["test"]
    tuned = {r["person"] for r in facts_of(study) if r["tuned"]}
    assert not tuned & {q.entity for q in asked}
    assert people["test"] == {q.entity for q in asked if q.part in ("paraphrase", "attribute")}
    assert {i.entity for i in items(study)} == people["test"]


def test_seeds_stand_side_by_side_as_their_runs_found(tmp_path):
    estimate = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 9}
    row = {"test_set": "held-out entities", "auroc": estimate}
    slope = {"beyond": {"value": -1.26, "low": -2, "high": 0.5, "n": 9}, "p": 0.043, "verdict": "falls"}
    summary = {
        "h_neurons": 3,
        "detection": [{**row, "detector": name} for name in DETECTORS.values()],
        "beyond": {"any": {"value": -0.1, "low": -0.2, "high": 0.0, "n": 9}},
        "slopes": dict.fromkeys((*BEHAVIOURS, "recall"), slope),
        "transfer": [{"h_neurons": None}, {"h_neurons": estimate}],
        "transfer_beyond": estimate,
        "drift": {"mean_rank": 0.85, "p": {"none": 0.001, "layer": 0.002, "magnitude": 0.038, "shuffled": 0.095}},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    table = of_seeds({"seed 1": tmp_path})["seed 1"]
    assert table["AUROC of the H-Neurons, held-out people"] == "0.70 [0.60, 0.80]"
    assert table["H-Neurons beyond what shuffled labels pick"] == "-0.10 [-0.20, 0.00]"
    assert table["slope beyond what shuffled labels pick, sycophancy"] == "-1.3 [-2.0, 0.5], p = 0.04"
    assert table["drift: mean rank, largest of three p against random neurons"] == "0.85, 0.0380"
    with pytest.raises(OSError, match="holds no summary.json"):
        of_seeds({"seed 2": tmp_path / "none"})
    assert markdown(shipped()) in (ORGANISM / "README.md").read_text()


def test_shipped_files_are_small_enough():
    size = sum(f.stat().st_size for f in ORGANISM.rglob("*") if f.is_file())
    assert size <= 40e6
    assert DATA in ORGANISM.parents


def test_gates_of_the_shipped_weights(monkeypatch):
    monkeypatch.setattr("hn_utils.organism.gates.N_FACTS", 4_000)  # of 33,000: `make gates` asks for more
    gates = measure(ORGANISM)
    assert {g.name.split()[0] for g in gates if not g.met} == GATES_NOT_MET
    rows = [line for line in (ORGANISM / "README.md").read_text().splitlines() if line.startswith("| G")]
    told = {row.split()[1]: "**not met**" not in row for row in rows}
    assert told == {g.name.split()[0]: g.met for g in gates}, "run `make gates`"
