"""The table in docs/cost.md of what the paper's study takes at five sizes: `.venv/bin/python bench/sizes.py` writes it.

Shapes are those of the published configurations. Memory and disk follow from them as `pipeline.planning` has it.
Hours are not measured: they follow from the passes that the plan counts, a share of what a GPU's maker promises, and
what Python takes for each layer, whichever is slower.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace

from transformers import AutoTokenizer, Gemma3TextConfig, LlamaConfig, PretrainedConfig, Qwen2Config

from hn_utils.models.weightless import WeightlessModel
from hn_utils.organism.__main__ import between
from hn_utils.pipeline.planning.plan import clock, gigabytes, memory
from hn_utils.pipeline.planning.walk import SCALED, captured, control_doses
from hn_utils.pipeline.planning.work import Work, comparing, reading, writing
from hn_utils.steering.broken import DRAWS
from hn_utils.steering.dose_response import N_TEXT_SETS
from hn_utils.storage.paths import ROOT
from hn_utils.study import ORGANISM, PRESETS, Study

MARK = "<!-- sizes -->"
GPU, GPU_MEMORY = "H100", 80e9
OPERATIONS, BANDWIDTH = 989e12, 3.35e12  # of bfloat16 a second, bytes a second: the maker's, at best
SHARE = 0.4  # of either that is taken to be reached
LAUNCH = 3e-3  # seconds of Python for a layer and pass; 2 to 6 ms were measured on tiny layers on a shared CPU
QUESTION, TEXT = 50, 100  # tokens of a prompt with its template; of a piece of ordinary text
N_QUESTIONS = {"": 14_000, "-smoke": 200}  # of all sets; TriviaQA, NQ-Open, BioASQ, invented things
REPLIES = {"": (256, 128, 64, 8), "-smoke": (256, 64, 8)}  # tokens at most, of each behaviour that needs no judge
PRESSED = 300  # tokens of a prompt that presses
LETTER = 2  # tokens of a choice
N_TEXTS = 200  # of ordinary text


def shape(kind: type[PretrainedConfig], layers: int, d: int, d_mlp: int, heads: int, kv: int, vocab: int, **other):
    """A configuration of this shape."""
    return kind(
        num_hidden_layers=layers,
        hidden_size=d,
        intermediate_size=d_mlp,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocab,
        **other,
    )


SIZES = {
    "0.5B (Qwen2.5)": ("qwen2.5-0.5b", shape(Qwen2Config, 24, 896, 4864, 14, 2, 151_936, tie_word_embeddings=True)),
    "4B (Gemma-3)": ("gemma-3-4b", shape(Gemma3TextConfig, 34, 2560, 10_240, 8, 4, 262_208, head_dim=256)),
    "8B (Llama-3.1)": ("llama-3.1-8b", shape(LlamaConfig, 32, 4096, 14_336, 32, 8, 128_256)),
    "27B (Gemma-3)": ("gemma-3-27b", shape(Gemma3TextConfig, 62, 5376, 21_504, 32, 16, 262_208, head_dim=128)),
    "70B (Llama-3.3)": ("llama-3.3-70b", shape(LlamaConfig, 80, 8192, 28_672, 64, 8, 128_256)),
}


def works_of(model: WeightlessModel, study: Study, n: int, limits: Sequence[int]) -> list[Work]:
    """The steps of a study whose prompts all have the assumed lengths, with the first control sets of either kind."""
    per_batch = max(1, study.batch_rows // study.sampling.n)
    works = []
    for asked, base in ((n, False), (int(0.4 * min(n, 5_000)), True)):
        works.append(writing("answers", [QUESTION] * asked, per_batch, study.sampling.n, 8, model.layer_size))
        works += captured(model, [QUESTION + 4] * asked, 0, base, shared=0)
    for new in limits:
        prompts, at_once = [PRESSED] * study.n_items, max(1, study.batch_rows // DRAWS)
        works.append(writing("likelihood of replies", prompts, at_once, DRAWS, new, model.layer_size))
    works += at_doses(model, study, limits, len(study.alphas) + control_doses(study))
    texts = [TEXT] * N_TEXTS * (len(study.alphas) + SCALED * min(N_TEXT_SETS, study.n_control_sets))
    return [*works, reading("ordinary text", texts, study.batch_rows, study.batch_rows, model.layer_size)]


def at_doses(model: WeightlessModel, study: Study, limits: Sequence[int], doses: int) -> list[Work]:
    """Replies under pressure at so many doses, how likely these are, and log-odds of the multiple choices."""
    rows, cells, works = study.batch_rows, [PRESSED] * study.n_items * doses, []
    for new in limits:
        works.append(writing("replies", cells, rows, 1, new, model.layer_size))
        works.append(reading("likelihood of replies", [PRESSED + new] * len(cells), rows, rows, model.layer_size))
    return [*works, comparing("log-odds", [PRESSED + 1] * len(cells), LETTER, max(1, rows // 2), model.layer_size)]


def seconds(model: WeightlessModel, works: Sequence[Work]) -> float:
    """Reading is bound by operations, two for each weight and token; a step of writing by moving all weights once; both
    by Python."""
    took = 0.0
    for work in works:
        python = model.n_layers * LAUNCH
        took += max(work.read * model.weight_bytes / (SHARE * OPERATIONS), work.reads * python)
        took += work.writes * max(model.weight_bytes / (SHARE * BANDWIDTH), python)
    return took


def row(name: str, preset: str, config: PretrainedConfig) -> str:
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        AutoTokenizer.from_pretrained(ORGANISM / "instruct").save_pretrained(folder)
        study = replace(PRESETS[preset], dtype="bfloat16", device="cpu")
        model = WeightlessModel(folder, study)
        cells = [name, gigabytes(model.weight_bytes)]
        for kind in ("", "-smoke"):
            own = replace(PRESETS.get(preset + kind, study), dtype="bfloat16")
            if kind and preset + kind not in PRESETS:
                own = replace(own, n_items=10, n_control_sets=4, alphas=(0.0, 1.0, 3.0))
            works = works_of(model, own, N_QUESTIONS[kind], REPLIES[kind])
            device, host = memory(model, works, N_QUESTIONS[kind], 2)
            cells.append(clock(seconds(model, works)))
            if not kind:
                cells += [f"{gigabytes(device)} ({-int(-device // GPU_MEMORY)} {GPU})", gigabytes(host)]
            cells.append(gigabytes(sum(w.disk for w in works)))
        return "| " + " | ".join(cells) + " |"


def table() -> str:
    heads = ["model", "weights", "time", "GPU memory", "host memory", "disk", "smoke: time", "smoke: disk"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(row(name, *size) for name, size in SIZES.items())])


if __name__ == "__main__":
    page = ROOT / "docs" / "cost.md"
    page.write_text(between(page.read_text(), MARK, table()))
