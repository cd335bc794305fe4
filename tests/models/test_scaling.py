"""Scaling leaves no trace, equals editing the weights, and takes an alpha for each row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hn_utils.answers.asking import prompts_of
from hn_utils.answers.examples import build_example
from hn_utils.answers.sampling import sample_responses
from hn_utils.contributions.cett import capture
from hn_utils.models.generation import generate
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.scaling import UNSCALED, Dose, dosed
from hn_utils.probing.baselines import read
from hn_utils.questions.items import Item
from hn_utils.questions.question_sets import load_questions
from hn_utils.steering.replies import replies_at, text_loss
from hn_utils.study import Sampling

ROWS = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6, 7, 8, 9, 10]]
NEURONS = np.array([3, 700, 768 + 5, 5 * 768 + 700])


def logits(subject, rows=ROWS):
    return torch.stack(token_logprobs(subject, rows))


def test_undone_bit_for_bit_even_after_an_error(subject):
    before, weights = logits(subject), {k: v.clone() for k, v in subject.model.state_dict().items()}
    with pytest.raises(RuntimeError), subject.scaled(NEURONS, by=3.0):
        assert not torch.equal(logits(subject), before)
        raise RuntimeError
    assert torch.equal(logits(subject), before)
    assert all(torch.equal(v, weights[k]) for k, v in subject.model.state_dict().items())


def test_one_is_a_no_op_and_zero_is_ablation(subject):
    before = logits(subject)
    with subject.scaled(NEURONS, by=1.0):
        assert torch.equal(logits(subject), before)
    with subject.scaled(NEURONS, by=0.0):
        assert not torch.equal(logits(subject), before)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0, 2.7])
def test_equals_editing_the_columns_of_w_down(subject, study, alpha):
    from transformers import AutoModelForCausalLM

    edited = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    for flat in NEURONS:
        column = edited.model.layers[flat // subject.d_mlp].mlp.down_proj.weight
        column.data[:, flat % subject.d_mlp] *= alpha
    with torch.no_grad():
        expected = edited(torch.tensor(ROWS)).logits[:, :-1].log_softmax(-1)
    expected = expected.gather(2, torch.tensor(ROWS)[:, 1:, None])[..., 0]
    with subject.scaled(NEURONS, by=alpha):
        torch.testing.assert_close(logits(subject), expected, rtol=1e-5, atol=1e-5)


def test_an_alpha_for_each_row(subject):
    rows = [ROWS[0]] * 3
    with subject.scaled(NEURONS, by=[0.0, 1.0, 3.0]):
        together = logits(subject, rows)
    for i, alpha in enumerate([0.0, 1.0, 3.0]):
        with subject.scaled(NEURONS, by=alpha):
            torch.testing.assert_close(together[i], logits(subject, rows)[i], rtol=1e-5, atol=1e-5)


def test_a_set_of_neurons_for_each_row(subject):
    doses = [Dose(NEURONS, 3.0), Dose(np.array([5, 700, 2048]), 0.0), UNSCALED]
    rows = [ROWS[0]] * 3
    with dosed(subject, doses):
        together = logits(subject, rows)
    for i, dose in enumerate(doses):
        with dosed(subject, [dose]):
            torch.testing.assert_close(together[i], logits(subject, rows)[i], rtol=1e-5, atol=1e-5)
    assert not torch.equal(together[0], together[2])
    assert not torch.equal(together[1], together[2])


@pytest.mark.parametrize(
    "sampling", [Sampling(n=1, temperature=0.0, max_new_tokens=5), Sampling(n=4, max_new_tokens=9)]
)
def test_an_alpha_for_each_prompt_holds_through_generation(subject, sampling):
    prompts, many = [ROWS[0], ROWS[1], ROWS[0]], np.arange(0, 6 * 768, 3)
    alphas = [0.0, 1.0, 3.0]
    with subject.scaled(many, by=alphas):
        together = [[r.ids for r in drawn] for drawn in generate(subject, prompts, sampling, seed=1)]
    assert together[0] != together[2]  # the same prompt, at another alpha
    for prompt, alpha, drawn in zip(prompts, alphas, together, strict=True):
        with subject.scaled(many, by=alpha):
            assert [r.ids for r in generate(subject, [prompt], sampling, seed=1)[0]] == drawn


def test_alphas_that_do_not_fit_the_prompts_are_refused_and_leave_nothing_behind(subject):
    with pytest.raises(ValueError, match="2 alphas do not fit a batch of 3"), subject.scaled(NEURONS, by=[1.0, 2.0]):
        generate(subject, [ROWS[0]] * 3, Sampling(n=2, max_new_tokens=3))
    with subject.scaled(NEURONS, by=[1.0, 2.0]):
        assert logits(subject, [ROWS[0]] * 2).shape[0] == 2


def test_nothing_is_kept_or_read_under_the_clean_key_while_neurons_are_scaled(subject, study, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    question = load_questions(study)[0]
    answers = sample_responses(subject, [question], study)
    (prompt,) = prompts_of(subject.encoder, [question], study)
    example = replace(build_example(question, prompt, answers[0], [0]), label=1)
    item = Item("1", "recall", ("Where was Kriskel Govstad born?",))
    stages = {
        "sample": lambda: sample_responses(subject, [question], study),
        "capture": lambda: capture(subject, [example], study),
        "read": lambda: read(subject, [example], study),
        "reply": lambda: replies_at(subject, [item], [UNSCALED], study),
        "loss": lambda: text_loss(subject, ["Kriskel Govstad"], [UNSCALED], study),
    }
    for run in stages.values():
        for _ in range(2):  # once before anything is kept, and once when the clean result is there
            kept = sorted(tmp_path.rglob("*"))
            with pytest.raises(ValueError, match="live hooks"), subject.scaled(NEURONS, by=3.0):
                run()
            assert sorted(tmp_path.rglob("*")) == kept
            run()


def test_bad_input(subject):
    for alpha in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ValueError, match="must be finite and not negative"), subject.scaled(NEURONS, by=alpha):
            pass
    with pytest.raises(ValueError, match="neuron 999999 is out of range"), subject.scaled(np.array([999_999]), by=2.0):
        pass
    with pytest.raises(ValueError, match="2 alphas do not fit a batch of 3"), subject.scaled(NEURONS, by=[1.0, 2.0]):
        logits(subject, [ROWS[0]] * 3)
