"""A Llama of real size with random weights, from loading to drift: what it takes, where a GPU is at hand or not."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

import hn_utils as hn
from hn_utils.answers import sampling
from hn_utils.answers.asking import prompts_of
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions
from hn_utils.contributions.collect import ask_base
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.scaling import Dose, dosed
from hn_utils.origins.transfer import drift
from hn_utils.questions.question_sets import load_questions
from hn_utils.study import ORGANISM, Sampling, Study, load_study

N_QUESTIONS, NEW = 60, 16  # questions of the walk; tokens that each draw has


class Shape(NamedTuple):
    """A Llama's: as the published configurations have it, but for `tiny`, which shows that the walk runs."""

    layers: int
    d_model: int
    d_mlp: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool


SHAPES = {
    "tiny": Shape(3, 64, 160, 4, 2, 1_000, True),
    "1B": Shape(16, 2_048, 8_192, 32, 8, 128_256, True),
    "8B": Shape(32, 4_096, 14_336, 32, 8, 128_256, False),
}


@dataclass(frozen=True)
class Walked:
    """Seconds of each step, gigabytes at most on host and GPU (None without one), tokens a second, and two ratios."""

    seconds: dict[str, float]
    host_gb: float
    gpu_gb: float | None
    tokens_per_second: float
    capture_to_forward: list[float]
    generate_to_ours: list[float]


def at_hand() -> tuple[str, str, str]:
    """Shape, device and dtype that suit this machine."""
    return ("8B", "cuda", "bfloat16") if torch.cuda.is_available() else ("1B", "cpu", "float32")


def make(shape: Shape, folder: Path, seed: int, device: str, dtype: str) -> str:
    """A random model in a folder, with the bundled model's tokenizer, whose vocabulary is a small part of its own."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "instruct")
    config = LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")},
    )
    torch.manual_seed(seed)
    with torch.device(device):
        model = LlamaForCausalLM._from_config(config, dtype=getattr(torch, dtype))
    readable = [i for i in range(len(tokenizer)) if tokenizer.decode([i]).strip().isalpha()]
    mute = torch.ones(shape.vocab, dtype=torch.bool, device=device)
    mute[readable] = False
    model.get_output_embeddings().weight.data[mute] = 0  # so that what is written is words
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def questions_file(subject: HookedModel, study: Study, folder: Path) -> str:
    """The bundled questions in PopQA's format; every other one accepts what this model answers, the rest nothing."""
    bundled = [q for q in load_questions(load_study("organism")) if q.part == "standard"][:N_QUESTIONS]
    said = generate(subject, prompts_of(subject.encoder, bundled, study), study.sampling)
    rows = []
    for i, (question, drawn) in enumerate(zip(bundled, said, strict=True)):
        accepted = json.dumps([f"truth {i}", *[drawn[0].text] * (i % 2)])
        about = {"id": i, "subj": f"subject {i}", "prop": "any", "s_pop": i}
        rows.append({**about, "question": question.text, "possible_answers": accepted})
    path = folder / "popqa.json"
    path.write_text(json.dumps(rows))
    return str(path)


def taken_whole() -> AbstractContextManager:
    """Within the block what was written up to the limit is taken for whole: random weights never end a reply."""
    read = sampling.written
    return patch.object(sampling, "written", lambda *given: read(*given)._replace(cut=False))


def walk(name: str, device: str, dtype: str, n_timed: int = 3) -> Walked:
    """Load, sample 10, capture, probe, scale, base, drift, each timed; a process of its own gives the memory's peak."""
    took: dict[str, float] = {}

    def timed(step: str, work: Callable):
        start = time.perf_counter()
        result = work()
        took[step] = waited(start, device)
        return result

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["HN_CACHE"] = str(folder / "cache")
        names = {k: make(SHAPES[name], folder / k, s, device, dtype) for s, k in enumerate(("instruct", "base"))}
        greedy = Sampling(temperature=0.0, max_new_tokens=4)
        asking = {"questions": "published", "sets": ("popqa",), "sampling": greedy}
        study = Study(name="real", **names, **asking, device=device, dtype=dtype)
        subject = timed("load", lambda: HookedModel.load(study.instruct, study))
        study = replace(study, sources={"popqa": questions_file(subject, study, folder)}, n_grid=6)
        asked = prompts_of(subject.encoder, load_questions(study), study)
        ten = Sampling(n=10, max_new_tokens=NEW)
        drawn = timed("sample 10", lambda: generate(subject, asked[:6], ten))
        with taken_whole():
            collected = timed("capture", lambda: hn.collect(subject, sources=study.sources))
        found = timed("probe", lambda: hn.find(collected, n_grid=study.n_grid))
        with dosed(subject, [Dose(found.card.neurons, alpha) for alpha in study.alphas]):
            timed("scale", lambda: generate(subject, [asked[0]] * len(study.alphas), replace(ten, n=1)))
        base = HookedModel.load(study.base, study)
        with taken_whole():
            timed("base", lambda: ask_base(base, collected))
        timed("drift", lambda: drift(base, subject, found.card.neurons))
        return Walked(
            took,
            peak_host(),
            torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None,
            sum(len(one.ids) for some in drawn for one in some) / took["sample 10"],
            [capture_ratio(subject, collected.kept[:32], device) for _ in range(n_timed)],
            [sampling_ratio(subject, asked[:2], ten, device) for _ in range(n_timed)],
        )


def waited(start: float, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_host() -> float:
    """Gigabytes of this process at most, mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024**2


def capture_ratio(subject: HookedModel, examples: list[Example], device: str) -> float:
    """Capture against the plain forward pass over the same rows."""
    rows = subject.encoder.pad([e.ids for e in examples], "right", subject.device)
    start = time.perf_counter()
    mean_contributions(subject, examples)
    ours, start = waited(start, device), time.perf_counter()
    subject.final_hidden(*rows)
    return ours / waited(start, device)


def sampling_ratio(subject: HookedModel, prompts: list[list[int]], ten: Sampling, device: str) -> float:
    """Ten calls of plain `generate` a question against all draws in one batch."""
    length = {"min_new_tokens": ten.max_new_tokens, "max_new_tokens": ten.max_new_tokens}
    own = GenerationConfig(**length, do_sample=True, top_k=ten.top_k, top_p=ten.top_p)
    start = time.perf_counter()
    for prompt in prompts:
        for _ in range(ten.n):
            subject.model.generate(torch.tensor([prompt], device=device), generation_config=own)
    plain, start = waited(start, device), time.perf_counter()
    generate(subject, prompts, ten)
    return float(np.float64(plain) / waited(start, device))
