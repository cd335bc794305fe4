"""Doses at prompts or answers alone, around a mean, and patched activations, against plain hooks of Transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from families import make_checkpoint
from torch import Tensor
from transformers import AutoModelForCausalLM

from hn_utils.models.activations import activations_of, mean_activations
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import ending_logprobs, token_logprobs
from hn_utils.models.scaling import UNSCALED, Dose, dosed, patched
from hn_utils.study import Sampling, Study

D_MLP, N_LAYERS = 56, 3
NEURONS = np.array([150, 3, 60, 41, 100])  # in no order, two of one layer
ALL = np.arange(D_MLP * N_LAYERS)
SHARED = [1, 9, 12, 40, 33, 7, 21, 5, 6, 50, 60, 70, 80, 11, 13, 17, 19, 23]
PROMPTS = [[*SHARED, 44], [*SHARED, 3, 8, 51], [*SHARED, 3]]  # they share what is worth a pass of its own
ENDINGS = [[[4, 5, 9], [6]], [[4], [7, 8]], [[9, 2], [10, 3]]]
GREEDY = Sampling(n=1, temperature=0.0, max_new_tokens=6)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def folder(request, tmp_path_factory):
    return make_checkpoint(request.param, tmp_path_factory.mktemp("doses") / "model")


@pytest.fixture(scope="module")
def tiny(folder) -> HookedModel:
    study = Study(name="test", instruct="", base="", questions="published", device="cpu", dtype="float32")
    return HookedModel.load(str(folder), study)


@pytest.fixture(scope="module")
def plain(folder):
    """The model of Transformers alone: nothing of ours touches it."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


Change = Callable[[int, Tensor], Tensor]


@contextlib.contextmanager
def changed(plain, change: Change) -> Iterator[None]:
    """While the block runs, `change(layer, z)` takes the place of each down projection's input z [row, pos, neuron]."""
    handles = []
    for layer, block in enumerate(plain.model.layers):
        hook = lambda _, given, layer=layer: (change(layer, given[0].clone()),)  # noqa: E731
        handles.append(block.mlp.down_proj.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def times(by: float, at: slice, around: np.ndarray | None = None) -> Change:
    """Scale NEURONS at some positions of a whole row, that was read without any cache."""

    def change(layer: int, z: Tensor) -> Tensor:
        for place, flat in enumerate(NEURONS):
            if flat // D_MLP == layer:
                centre = 0.0 if around is None else float(around[place])
                z[:, at, flat % D_MLP] = centre + by * (z[:, at, flat % D_MLP] - centre)
        return z

    return change


@torch.inference_mode()
def logprobs_by_hand(plain, row: list[int], change: Change) -> Tensor:
    """Log-probabilities [pos, vocab] of a whole row."""
    with changed(plain, change):
        return plain(input_ids=torch.tensor([row]), use_cache=False).logits[0].log_softmax(-1)


def ending_by_hand(plain, prompt: list[int], ending: list[int], change: Change) -> float:
    read = logprobs_by_hand(plain, prompt + ending, change)
    return sum(float(read[len(prompt) - 1 + i, token]) for i, token in enumerate(ending))


def places(at: str, n: int) -> slice:
    return {"prompt": slice(0, n), "answer": slice(n, None), "everywhere": slice(None)}[at]


@pytest.mark.parametrize("at", ["prompt", "answer", "everywhere"])
def test_endings_are_scaled_at_the_tokens_that_are_meant(tiny, plain, at):
    with dosed(tiny, [Dose(NEURONS, 3.0, at)]), tiny.prompts_end([len(prompt) for prompt in PROMPTS]):
        read = ending_logprobs(tiny, PROMPTS, ENDINGS)
    for prompt, endings, values in zip(PROMPTS, ENDINGS, read.tolist(), strict=True):
        by_hand = [ending_by_hand(plain, prompt, e, times(3.0, places(at, len(prompt)))) for e in endings]
        assert values == pytest.approx(by_hand, abs=2e-3)


@pytest.mark.parametrize("each", [("prompt", "prompt", "prompt"), ("answer", "prompt", "answer"), ("answer",)])
def test_a_reply_that_has_begun_belongs_to_the_answer(tiny, plain, each):
    """Prompts end within what all rows share, and not all at the same token: what is read once must not mix them."""
    lengths = [16, 14, 17]
    doses = [Dose(NEURONS, 3.0, at) for at in each]
    with dosed(tiny, doses), tiny.prompts_end(lengths):
        read = ending_logprobs(tiny, PROMPTS, ENDINGS)
    for row, (prompt, n, endings, values) in enumerate(zip(PROMPTS, lengths, ENDINGS, read.tolist(), strict=True)):
        at = places(each[row % len(each)], n)
        by_hand = [ending_by_hand(plain, prompt, e, times(3.0, at)) for e in endings]
        assert values == pytest.approx(by_hand, abs=2e-3)


def test_prompt_and_answer_together_are_everywhere(tiny):
    """One dose inside the other's block: all tokens are scaled, none of them twice."""
    lengths = [len(prompt) for prompt in PROMPTS]
    with dosed(tiny, [Dose(NEURONS, 3.0)]):
        whole = ending_logprobs(tiny, PROMPTS, ENDINGS)
    with tiny.prompts_end(lengths), dosed(tiny, [Dose(NEURONS, 3.0, "prompt")]):
        half = ending_logprobs(tiny, PROMPTS, ENDINGS)
        with dosed(tiny, [Dose(NEURONS, 3.0, "answer")]):
            both = ending_logprobs(tiny, PROMPTS, ENDINGS)
    torch.testing.assert_close(both, whole, rtol=1e-4, atol=1e-3)
    assert (half - whole).abs().max() > 0.01


@pytest.mark.parametrize("at", ["prompt", "answer"])
def test_generation_scales_the_prompt_at_prefill_only_and_the_answer_behind_it(tiny, plain, at):
    """Greedy replies, token by token, by passes over the whole row without a cache."""
    with tiny.scaled(NEURONS, 8.0, at=at):
        replies = [drawn[0].ids for drawn in generate(tiny, PROMPTS, GREEDY)]
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        change = times(8.0, places(at, len(prompt)))
        for n, token in enumerate(reply):
            read = logprobs_by_hand(plain, prompt + reply[:n], change)[-1]
            assert float(read.max() - read[token]) < 1e-3


def test_a_dose_for_each_prompt_may_act_elsewhere_in_each(tiny):
    doses = [Dose(NEURONS, 8.0, "answer"), UNSCALED, Dose(NEURONS, 8.0, "prompt")]
    prompts = [PROMPTS[0]] * 3
    with dosed(tiny, doses):
        together = [drawn[0].logprobs for drawn in generate(tiny, prompts, GREEDY)]
    for dose, logprobs in zip(doses, together, strict=True):
        with dosed(tiny, [dose]):
            alone = generate(tiny, prompts[:1], GREEDY)[0][0].logprobs
        assert logprobs == pytest.approx(alone, abs=1e-3)


def test_at_the_answer_nothing_can_move_its_first_token(tiny):
    first = Sampling(n=1, temperature=0.0, max_new_tokens=1)
    before = generate(tiny, PROMPTS, first)
    with tiny.scaled(ALL, 0.0, at="answer"):
        assert [d[0].logprobs for d in generate(tiny, PROMPTS, first)] == [d[0].logprobs for d in before]


def test_mean_ablation_puts_the_mean_in_the_activation_s_place(tiny, plain):
    rows = [PROMPTS[0], PROMPTS[1][:5]]
    seen: dict[int, list[Tensor]] = {layer: [] for layer in range(N_LAYERS)}

    def look(layer: int, z: Tensor) -> Tensor:
        seen[layer].append(z[0, 1:])  # [pos, neuron], all but the first token
        return z

    for row in rows:
        logprobs_by_hand(plain, row, look)
    means = torch.stack([torch.cat(seen[layer]).mean(0) for layer in range(N_LAYERS)]).flatten()
    found = mean_activations(tiny, rows)
    assert found == pytest.approx(means.numpy(), abs=1e-4)

    around = found[NEURONS]
    with tiny.scaled(NEURONS, 0.0, around=around):
        ablated = token_logprobs(tiny, PROMPTS[:1])[0]
    expected = logprobs_by_hand(plain, PROMPTS[0], times(0.0, slice(None), around))
    ids = torch.tensor(PROMPTS[0][1:])
    torch.testing.assert_close(ablated, expected[:-1].gather(1, ids[:, None])[:, 0], rtol=1e-3, atol=2e-3)
    with tiny.scaled(NEURONS, 0.0):
        assert not torch.allclose(token_logprobs(tiny, PROMPTS[:1])[0], ablated, atol=1e-2)
    with tiny.scaled(NEURONS, 1.0, around=around):
        unchanged = token_logprobs(tiny, PROMPTS[:1])[0]
    torch.testing.assert_close(unchanged, token_logprobs(tiny, PROMPTS[:1])[0])


# --- patching --------------------------------------------------------------------------------------------------------

OTHERS = [[2, *SHARED[3:], 44], [5, 6, *SHARED[2:], 3, 8, 51], [8, 4, 3]]  # other beginnings, the same last tokens


def patched_endings(tiny, neurons, values) -> Tensor:
    with tiny.prompts_end([len(prompt) for prompt in PROMPTS]), patched(tiny, neurons, values):
        return ending_logprobs(tiny, PROMPTS, ENDINGS)


def test_patching_with_itself_changes_nothing(tiny):
    own = activations_of(tiny, PROMPTS, NEURONS)
    values = [each[-n:] for each, n in zip(own, (1, 4, 19), strict=True)]
    torch.testing.assert_close(
        patched_endings(tiny, NEURONS, values), ending_logprobs(tiny, PROMPTS, ENDINGS), rtol=1e-4, atol=1e-3
    )


def test_activations_of_another_run_are_put_in_at_the_last_tokens_of_the_prompt(tiny, plain):
    ends = (1, 3, 2)
    values = [each[-n:] for each, n in zip(activations_of(tiny, OTHERS, NEURONS), ends, strict=True)]
    read = patched_endings(tiny, NEURONS, values)
    assert (read - ending_logprobs(tiny, PROMPTS, ENDINGS)).abs().max() > 0.01
    for prompt, other, n, endings, found in zip(PROMPTS, OTHERS, ends, ENDINGS, read.tolist(), strict=True):
        seen: dict[int, Tensor] = {}

        def look(layer: int, z: Tensor, seen=seen) -> Tensor:
            seen[layer] = z[0]
            return z

        logprobs_by_hand(plain, other, look)

        def put(layer: int, z: Tensor, seen=seen, n=n, prompt=prompt, other=other) -> Tensor:
            for flat in NEURONS:
                if flat // D_MLP == layer:
                    z[0, len(prompt) - n : len(prompt), flat % D_MLP] = seen[layer][len(other) - n :, flat % D_MLP]
            return z

        assert found == pytest.approx([ending_by_hand(plain, prompt, e, put) for e in endings], abs=2e-3)


@torch.inference_mode()
def test_all_neurons_at_the_last_token_are_the_mlps_that_transformerlens_patches(tiny):
    """TransformerLens' own cache and hooks: the output of every MLP at the last token, from one run into the other."""
    one, other = PROMPTS[0], OTHERS[0]
    names = [f"blocks.{layer}.mlp.hook_out" for layer in range(N_LAYERS)]
    _, cache = tiny.bridge.run_with_cache(torch.tensor([other]), names_filter=lambda name: name in names)

    def put(mlp_out: Tensor, hook) -> Tensor:
        mlp_out[:, -1] = cache[hook.name][:, -1]
        return mlp_out

    logits = tiny.bridge.run_with_hooks(torch.tensor([one]), fwd_hooks=[(name, put) for name in names])
    last = [each[-1:] for each in activations_of(tiny, [other], ALL)]
    tokens = [[token] for token in range(20)]
    with tiny.prompts_end([len(one)]), patched(tiny, ALL, last):
        found = ending_logprobs(tiny, [one], [tokens])[0]
    torch.testing.assert_close(found, logits[0, -1].log_softmax(-1)[:20].float(), rtol=1e-3, atol=2e-3)
    assert (found - ending_logprobs(tiny, [one], [tokens])[0]).abs().max() > 0.01


def test_bad_input_is_told_apart(tiny):
    with pytest.raises(ValueError, match="at='reply': choose one of everywhere, prompt, answer"):
        tiny.scaled(NEURONS, 2.0, at="reply").__enter__()
    with pytest.raises(ValueError, match="around has shape .4,. for 5 neurons: give one finite activation for each"):
        tiny.scaled(NEURONS, 0.0, around=np.zeros(4)).__enter__()
    with (
        pytest.raises(ValueError, match="not known where prompts end: a dose at prompts or answers acts in what"),
        tiny.scaled(NEURONS, 2.0, at="prompt"),
    ):
        token_logprobs(tiny, PROMPTS)
    with (
        pytest.raises(ValueError, match="lengths of 2 prompts do not fit 3 rows"),
        tiny.scaled(NEURONS, 2.0, at="prompt"),
        tiny.prompts_end([3, 4]),
    ):
        token_logprobs(tiny, PROMPTS)
    with pytest.raises(ValueError, match=r"values\[0\] has shape .2, 3.: give \[end, 5\], a column a neuron"):
        patched(tiny, NEURONS, [np.zeros((2, 3))]).__enter__()
    with pytest.raises(ValueError, match="1 values do not fit a batch of 3 rows"):
        patched_endings(tiny, NEURONS, [np.zeros((2, 5))])
    with pytest.raises(ValueError, match="1 rows hold no token behind their first"):
        mean_activations(tiny, [[3]])
