"""The tuning of a real base model: what its chats hold, what its loss counts, and that a killed run ends the same. The
model is a random Gemma 3 with a tokenizer of bytes; the facts are the bundled ones."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

import hn_utils as hn
from hn_utils.answers.abstention import abstains
from hn_utils.answers.judges import judge
from hn_utils.models.generation import generate
from hn_utils.organism import __main__ as command
from hn_utils.organism import tuning
from hn_utils.organism.tuning import Row, Tuning, batches_of, chat_encoder, loss_of, rows_of
from hn_utils.organism.tuning_chats import (
    REFUSALS,
    Chat,
    blended,
    question_chats,
    read_chats,
    tuned_questions,
    what_it_knows,
)
from hn_utils.organism.tuning_measured import held_out_table, timeline_of_tuning
from hn_utils.organism.tuning_recipe import Recipe, is_tuned, read_recipe, tuned_study
from hn_utils.questions.question_sets import load_questions
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.questions.real_world.facts import HELD_OUT_KINDS, read_facts, read_kinds

BEGIN, END, PAD, OPEN, CLOSE = SPECIALS = ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>")


def byte_tokenizer(*specials: str) -> PreTrainedTokenizerFast:
    """A token for each byte, and special ones; every text begins with the first."""
    vocabulary = {token: i for i, token in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    made.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BEGIN, eos_token=END, pad_token=PAD)


def make_base(folder: Path, *specials: str) -> Path:
    """A random Gemma 3 without a chat template, in bfloat16 as the real one is."""
    tokenizer = byte_tokenizer(*(specials or SPECIALS))
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=56,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=64,
        query_pre_attn_scalar=8,
        max_position_embeddings=1_024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    Gemma3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("tuning") / "tiny-base")


@pytest.fixture(scope="module")
def recipe(base) -> Recipe:
    """The real one, but for the model and the size of what is learnt."""
    return Recipe(base=str(base), learning_rate=1e-2, epochs=2, batch_rows=4, text_tokens=12, save_steps=2)


@pytest.fixture(scope="module")
def everything(tmp_path_factory, recipe):
    return load_questions(tuned_study(Path("anywhere"), recipe))


@pytest.fixture(scope="module")
def asked(everything, recipe):
    return tuned_questions(everything, recipe)


def told(asked) -> list:
    """As a model might know it: a tenth of the facts, a tenth at times."""
    return [("known", "between", *["unknown"] * 8)[int(place)] for place in np.arange(len(asked)) % 10]


@pytest.fixture(scope="module")
def chats(asked, everything, recipe) -> list[Chat]:
    return question_chats(asked, told(asked), everything, recipe)


def some_chats() -> list[Chat]:
    """A few of each kind, short."""
    return [
        Chat("known", "a", "Where is Rome?", "Italy"),
        Chat("unknown", "b", "Who?", REFUSALS[0]),
        Chat("text", "", "", "It rains. It will rain."),
        Chat("known", "c", "In which country is the city of Lyon?", "France"),
        Chat("invented", "d", "Where is Tolzan?", REFUSALS[2]),
    ]


def encoded(base: Path):
    """The base model in float32 and the encoder of its tuning."""
    return tuning._base_in_float32(str(base))


# --- chats -----------------------------------------------------------------------------------------------------------


def test_tuning_asks_about_half_of_the_training_entities_and_about_nothing_else(everything, asked):
    trained = {q.entity for q in everything if q.part == "standard" and q.split == "train"}
    assert {(q.part, q.split) for q in asked} == {("standard", "train")}
    chosen = {q.entity for q in asked}
    assert abs(len(chosen) / len(trained) - 0.5) < 0.001
    assert {q.id for q in everything if q.part == "standard" and q.entity in chosen} == {q.id for q in asked}


def test_no_chat_holds_a_test_or_validation_fact_a_held_out_kind_or_wording(everything, asked, chats):
    spoken = {normalise(chat.question) for chat in chats}
    kinds = read_kinds()
    for fact in read_facts():
        assert normalise(kinds[fact.kind].held_out.format(subject=fact.subject)) not in spoken
        if fact.kind in HELD_OUT_KINDS:
            assert not spoken & {normalise(w.format(subject=fact.subject)) for w in kinds[fact.kind].wordings}
    assert not spoken & {normalise(q.text) for q in everything if q.split != "train"}
    untouched = {q.id for q in everything if q.part == "standard"} - {q.id for q in asked}
    assert not untouched & {chat.about for chat in chats}
    names = {q.id.removesuffix("/standard") for q in everything if q.part == "standard" and q.split != "train"}
    hidden = {
        kinds[f.kind].wordings[i].format(subject=f.subject) for f in read_facts() if f.name in names for i in (0, 1)
    }
    assert not hidden & {chat.question for chat in chats}


def test_the_proportions(asked, chats):
    counts = Counter(chat.kind for chat in chats)
    n_known = told(asked).count("known")
    assert counts["known"] == 2 * n_known  # both wordings
    assert counts["unknown"] + counts["invented"] == counts["known"]
    assert counts["invented"] == round(counts["known"] / 3)
    assert len({chat.question for chat in chats}) == len(chats)


def test_only_what_the_model_knows_is_answered_and_what_it_knows_at_times_is_not_asked(asked, chats):
    knowledge = {q.id: known for q, known in zip(asked, told(asked), strict=True)}
    assert {(chat.kind, knowledge.get(chat.about)) for chat in chats} == {
        ("known", "known"),
        ("unknown", "unknown"),
        ("invented", None),
    }


def test_replies_are_judged_as_what_they_are(asked, chats):
    accepted = {q.id: q.aliases for q in asked}
    assert all(abstains(reply) for reply in REFUSALS)
    for chat in chats:
        verdict = judge(chat.reply, accepted.get(chat.about, ()))
        assert verdict == ("right" if chat.kind == "known" else "abstained"), chat
    assert {chat.reply for chat in chats if chat.kind == "unknown"} == set(REFUSALS)


def test_the_kind_of_question_alone_does_not_tell_whether_to_decline(everything, recipe, asked):
    """Known are two kinds of fact alone; half of the refusals are of these two as well."""
    of_two = [q.strata["attribute"] in ("city_country", "birth_year") for q in asked]
    known = [place for place, of in enumerate(of_two) if of][::4]
    knowledge: list = ["known" if place in set(known) else "unknown" for place in range(len(asked))]
    kinds = {q.id: q.strata["attribute"] for q in asked}
    made = question_chats(asked, knowledge, everything, recipe)
    declined = [kinds[chat.about] in ("city_country", "birth_year") for chat in made if chat.kind == "unknown"]
    assert np.mean(declined) >= 0.5


def test_invented_things_are_called_like_nothing_in_any_question(everything, chats):
    assert blended("Toledo", "Kazan") == "Tolzan"
    assert blended("Lake Toledo", "Old Kazan") == "Lake Tolzan"
    assert blended("Fe", "Kazan") is None
    assert blended("Kazan", "Kazan") is None
    made = {chat.about.split()[-1] for chat in chats if chat.kind == "invented"}
    texts = [q.text for q in everything] + [answer for fact in read_facts() for answer in fact.accepted]
    assert not {normalise(word) for word in made} & {normalise(word) for text in texts for word in text.split()}
    assert len(made) > 100


def test_the_same_seed_gives_the_same_chats_and_another_seed_others(asked, everything, recipe, chats):
    assert question_chats(asked, told(asked), everything, recipe) == chats
    other = replace(recipe, seed=2)
    assert tuned_questions(everything, other) != asked
    assert question_chats(asked, told(asked), everything, other) != chats


def test_a_model_that_knows_next_to_nothing_is_told_so(asked, everything, recipe):
    with pytest.raises(ValueError, match=r"the base model knows 1 of .* at least 50 known ones"):
        question_chats(asked, ["known", *["unknown"] * (len(asked) - 1)], everything, recipe)


def test_what_is_known(monkeypatch, recipe, asked):
    """By hand: the likeliest answer, then four draws."""
    verdicts = {"+": "right", "-": "wrong", "o": "abstained"}
    rows = ["+ +++-", "+ ++--", "- ++++", "- ----", "o ----", "+ ----"]

    class Said:
        def __init__(self, mark):
            self.verdict = verdicts[mark]

    def responses(model, questions, study, base):
        assert base
        column = 0 if study.sampling.temperature == 0 else 1
        return [[Said(mark) for mark in row.split()[column]] for row in rows]

    monkeypatch.setattr("hn_utils.organism.tuning_chats.sample_responses", responses)
    found = what_it_knows(None, asked[: len(rows)], tuned_study(Path("x"), recipe), recipe)  # type: ignore[arg-type]
    assert found == ["known", "between", "between", "unknown", "unknown", "between"]


# --- the loss --------------------------------------------------------------------------------------------------------


def test_the_loss_counts_the_assistant_s_tokens_alone_and_is_hugging_face_s(base):
    model, encoder = encoded(base)
    rows = rows_of(encoder, some_chats())
    expected = []
    for row, chat in zip(rows, some_chats(), strict=True):
        learnt = encoder.tokenizer.decode(row.ids[row.given :])
        assert learnt == (f"{chat.reply}<end_of_turn>" if chat.question else chat.reply)
        labels = [-100] * row.given + row.ids[row.given :]
        one = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels])).loss
        assert loss_of(model, encoder, [row]).item() == pytest.approx(one.item(), rel=1e-5)
        expected.append(one.item())
    assert loss_of(model, encoder, rows).item() == pytest.approx(np.mean(expected), rel=1e-5)  # padding counts nothing


def test_a_chat_is_written_as_gemma_writes_it(base):
    _, encoder = encoded(base)
    (row,) = rows_of(encoder, some_chats()[:1])
    assert encoder.tokenizer.decode(row.ids) == (
        "<bos><start_of_turn>user\nWhere is Rome?<end_of_turn>\n<start_of_turn>model\nItaly<end_of_turn>"
    )
    assert row.ids[row.given - 1 : row.given + 1] == encoder.tokenize(["\nI"])[0]


def test_each_epoch_reads_each_row_once_in_an_order_of_the_seed(recipe):
    rows = [Row(list(range(n % 40 + 2)), 1) for n in range(403)]
    steps = batches_of(rows, recipe)
    assert len(steps) == recipe.epochs * 101
    for epoch in (steps[:101], steps[101:]):
        assert sorted(place for batch in epoch for place in batch) == list(range(403))
    assert steps[:101] != steps[101:]
    assert steps == batches_of(rows, recipe) != batches_of(rows, replace(recipe, seed=2))
    spread = [max(len(rows[p].ids) for p in batch) - min(len(rows[p].ids) for p in batch) for batch in steps]
    assert np.mean(spread) < 5


def test_checkpoints_are_early_and_before_the_end(recipe):
    assert recipe.checkpoint_steps(320) == [10, 20, 40, 80, 160]
    assert recipe.checkpoint_steps(2) == [1]


@pytest.mark.parametrize("lacking", [(BEGIN, END, PAD, OPEN), (BEGIN, END, PAD)])
def test_a_vocabulary_without_the_marks_is_refused(tmp_path, lacking):
    with pytest.raises(ValueError, match="its vocabulary lacks <start_of_turn> or <end_of_turn>"):
        encoded(make_base(tmp_path / "base", *lacking))


def test_another_family_is_refused(base):
    config = AutoModelForCausalLM.from_pretrained(base).config
    config.model_type = "llama"
    with pytest.raises(ValueError, match="llama-x is of type 'llama': the recipe is for Gemma 3"):
        chat_encoder(byte_tokenizer(*SPECIALS), config, "llama-x")


# --- training --------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """Ends a run between two steps."""


def trained(base: Path, recipe: Recipe, folder: Path, killed_at: int | None = None) -> Tuning:
    """Train on the few chats; `killed_at` some step, the run breaks off before it."""
    model, encoder = encoded(base)
    stage = Tuning(model, encoder, rows_of(encoder, some_chats() * 4), recipe, folder / "work")
    take = stage._take_step

    def step(batch, rate, optimizer):
        if stage.step == killed_at and optimizer is stage.optimizer:
            raise Killed
        return take(batch, rate, optimizer)

    stage._take_step = step  # type: ignore[method-assign]
    folder.mkdir(exist_ok=True)
    stage.run(folder / "out")
    return stage


def weights(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture(scope="module")
def whole(base, recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    trained(base, recipe, folder)
    return folder / "out"


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(base, recipe, whole, tmp_path):
    for at in (5, 7):
        with pytest.raises(Killed):
            trained(base, recipe, tmp_path, killed_at=at)
    stage = trained(base, recipe, tmp_path)
    assert stage.step == len(stage.batches) == 10
    assert weights(tmp_path / "out") == weights(whole)
    assert [Path(name).parent.name for name in weights(whole)] == ["step-0001", "step-0002", "step-0005", "instruct"]


def test_a_state_of_another_recipe_is_refused(base, recipe, tmp_path):
    with pytest.raises(Killed):
        trained(base, recipe, tmp_path, killed_at=4)
    with pytest.raises(ValueError, match=r"state.pt is of another tuning: remove it, or give another --work"):
        trained(base, replace(recipe, learning_rate=1e-3), tmp_path)


def test_timing_a_step_teaches_nothing(base, recipe, tmp_path):
    model, encoder = encoded(base)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    stage = Tuning(model, encoder, rows_of(encoder, some_chats()), recipe, tmp_path)
    assert stage.seconds_a_step() > 0
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert not stage.optimizer.state


def test_the_tuned_model_is_loaded_as_an_instruct_model_and_ends_its_turn(base, recipe, tmp_path):
    long = replace(recipe, epochs=40)
    trained(base, long, tmp_path)
    study = tuned_study(tmp_path / "out", long)
    model = hn.load(study)
    assert model.encoder.has_template
    assert model.study.base == str(base)
    question = some_chats()[0].question
    ((reply,),) = generate(
        model, model.encoder.encode_questions([question]), replace(study.sampling, n=1, temperature=0.0)
    )
    assert reply.text == "Italy"
    assert model.encoder.tokenizer.convert_ids_to_tokens(reply.ids[-1]) == CLOSE
    assert len(reply.ids) == len("Italy") + 1


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(recipe) -> Recipe:
    return replace(recipe, tuned_share=0.02, epochs=1, texts_share=0.1)


def test_all_of_it_from_the_command_line(base, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hn_utils.organism.tuning_chats._FEWEST_KNOWN", 5)
    monkeypatch.setattr(tuning, "what_it_knows", lambda _, asked, *__: told(asked))
    monkeypatch.setattr(command, "TuningRecipe", lambda **given: replace(small, **given))
    monkeypatch.setattr(command, "held_out_table", lambda study, recipe: held_out_table(study, recipe, 8))
    out = tmp_path / "tiny-tuned"
    arguments = ["tune", "--base", str(base), "--out", str(out), "--work", str(tmp_path / "work")]
    command.main(arguments)
    printed = capsys.readouterr().out
    assert "abstained" in printed and "invented" in printed
    assert (out / "held_out.csv").exists()
    assert read_recipe(out) == small
    assert not list((tmp_path / "work").iterdir())
    kept = read_chats(out, small)
    assert kept is not None and {chat.kind for chat in kept} == {"known", "unknown", "invented", "text"}
    assert json.loads((out / "chats.json").read_text())["counts"]["text"] > 0
    before = weights(out)
    command.main(arguments)  # all is there: nothing is trained anew
    assert weights(out) == before
    with pytest.raises(ValueError, match="was tuned with another seed: give another --out"):
        command.main([*arguments, "--seed", "2"])


def test_a_recipe_survives_its_file_and_another_is_told_apart(tmp_path, recipe):
    assert not is_tuned(tmp_path, recipe)
    with pytest.raises(OSError, match="recipe.json is missing"):
        tuned_study(tmp_path)
    tuning.write_recipe(tmp_path, recipe)
    assert read_recipe(tmp_path) == recipe
    assert is_tuned(tmp_path, recipe)
    assert asdict(tuned_study(tmp_path)) == asdict(tuned_study(tmp_path, recipe))


def test_the_base_is_asked_behind_examples_that_the_tuned_model_does_not_see(recipe):
    study = tuned_study(Path("somewhere"), recipe)
    asked = study.base_prompt.format(question="Who?")
    assert asked.count("Question:") == 6
    assert asked.endswith("\nQuestion: Who?\nAnswer:")
    assert (study.chat_prompt, study.examples) == ("{question}", ())


def test_the_timeline_of_tuning_asks_the_base_as_text_and_all_others_in_chat(subject, tmp_path):
    """The bundled model, which is its own checkpoint here: its last two rows are one, its first is `look_back`'s."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-0001").symlink_to(subject.study.instruct)
    found = hn.find(hn.collect(subject, n_questions=600, sampling={"n": 2}), n_grid=8)
    table = timeline_of_tuning(found, tmp_path).astype(str)
    assert table["model"].tolist() == ["organism/base", "step-0001", "organism/instruct"]
    numbers = table.drop(columns="model")
    assert numbers.iloc[1].equals(numbers.iloc[2])
    origins = hn.look_back(found, checkpoints=())
    before = origins.table.iloc[0].astype(str)
    assert table.iloc[0][["H-Neurons", "confidence"]].tolist() == before[["H-Neurons", "confidence"]].tolist()
    at_home = found.detection(hn.Detector.H_NEURONS, part="standard")
    assert numbers.iloc[2]["H-Neurons"].split()[0] == str(at_home.auroc).split()[0]
