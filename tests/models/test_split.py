"""A model that accelerate has dispatched layer by layer is read and scaled as a whole one is.

Its devices are all the CPU here, so that no tensor has to move: what is exercised is that accelerate's hooks and ours
live side by side. A split over several GPUs is untested.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from accelerate import dispatch_model
from accelerate.hooks import AlignDevicesHook
from families import make_checkpoint
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.questions.question import Question
from hn_utils.study import Sampling, Study

ROW = Example(Question("q", "?", ("a",), "e"), [1, 5, 6, 7, 90], [12, 13, 14], "", 1, [5, 6], 0.0)
NEURONS = np.array([3, 60, 130])  # one of each layer


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[HookedModel, HookedModel]:
    """The same model, whole and dispatched."""
    folder = str(make_checkpoint("llama", tmp_path_factory.mktemp("split") / "llama"))
    study = Study(name="split", instruct=folder, base=folder, questions="published", device="cpu", dtype="float32")
    whole, model = HookedModel.load(folder, study), AutoModelForCausalLM.from_pretrained(folder)
    parts = [
        "model.embed_tokens",
        "model.norm",
        "model.rotary_emb",
        "lm_head",
        *(f"model.layers.{i}" for i in range(3)),
    ]
    model = dispatch_model(model, {part: "cpu" for part in parts}, main_device="cpu", force_hooks=True)
    layer = model.model.layers[1].mlp.down_proj
    assert isinstance(layer._hf_hook, AlignDevicesHook)
    bridge = TransformerBridge.boot_transformers(
        folder, hf_model=model, tokenizer=whole.encoder.tokenizer, device="cpu"
    )
    return whole, HookedModel(bridge, whole.encoder.tokenizer, folder, whole.study)


def test_contributions_and_scaling_are_those_of_the_whole_model(both):
    whole, split = both
    expected, found = (mean_contributions(model, [ROW]).numpy() for model in both)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plain = token_logprobs(split, [ROW.ids])[0]
    with split.scaled(NEURONS, by=3.0):
        turned = token_logprobs(split, [ROW.ids])[0]
    with whole.scaled(NEURONS, by=3.0):
        expected = token_logprobs(whole, [ROW.ids])[0]
    np.testing.assert_allclose(turned, expected, rtol=1e-4)
    assert (turned - plain).abs().max() > 1e-3
    assert (token_logprobs(split, [ROW.ids])[0] == plain).all()


@pytest.mark.parametrize(
    "sampling", [Sampling(n=2, temperature=0.0, max_new_tokens=6), Sampling(n=6, max_new_tokens=6)]
)
def test_generation_is_that_of_the_whole_model(both, sampling):
    whole, split = (generate(model, [ROW.prompt_ids, ROW.ids], sampling) for model in both)
    assert [[one.ids for one in row] for row in whole] == [[one.ids for one in row] for row in split]


def test_spreading_over_what_devices_there_are_gives_the_same_model(both, tmp_path):
    whole, _ = both
    study = Study(name="split", instruct=whole.name, base=whole.name, questions="published", dtype="float32")
    spread = HookedModel.load(whole.name, replace(study, device="several"))
    np.testing.assert_allclose(
        mean_contributions(spread, [ROW]).cpu().numpy(), mean_contributions(whole, [ROW]).numpy(), rtol=1e-4
    )
