"""Speed and size against a floor or a rival, as ratios measured in one run: `make bench`, or some rows by name.

Every ratio is measured several times, ours and the rival in turn, and given as its median [smallest, largest].
The table goes into bench/README.md, the plots of cost against size among the results of the
bundled study, from which `make publish` takes them to figures/.
"""

from __future__ import annotations

import argparse
import atexit
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from real_size import at_hand, walk
from real_weights import WHICH, weigh
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from hn_utils.answers.asking import prompts_of
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import capture, mean_contributions
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.allocation import keep_freed_memory
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.scaling import Dose
from hn_utils.organism.__main__ import between
from hn_utils.pipeline.planning.plan import plan
from hn_utils.pipeline.steps import run
from hn_utils.probing.l1_path import c_grid, l1_path, objective
from hn_utils.questions.items import BEHAVIOURS
from hn_utils.questions.question import Question
from hn_utils.questions.question_sets import load_questions, question_set
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery
from hn_utils.report.pictures import draw
from hn_utils.steering.measure import few_of_each
from hn_utils.steering.replies import replies_at
from hn_utils.storage.cache import Stage
from hn_utils.study import BUNDLED, load_study

HERE = Path(__file__).resolve().parent
MARK = "<!-- measured -->"
KEPT = Path(os.environ.get("HN_BENCH", HERE))  # where the table is kept: README.md, and measured.json for it
NOISE = 1.3  # times: what lies nearer together is not told apart on a shared machine
WORK = Path(tempfile.mkdtemp(prefix="hn-bench-"))
atexit.register(shutil.rmtree, WORK)
T = TypeVar("T")


class Row(NamedTuple):
    """A line of the table; `met` says whether the median meets the aim, None where there is nothing to meet."""

    what: str
    against: str
    measured: str
    aim: str
    met: bool | None

    @property
    def line(self) -> str:
        return " | ".join([*self[:4], {True: "yes", False: "**no**", None: ""}[self.met]])


# --- measuring -------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def in_turn(
    ours: Callable[[], object],
    rival: Callable[[], object],
    n: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of both by this clock, n times in turn after one round to warm up."""
    ours(), rival()
    pairs = np.array([[seconds(ours, clock), seconds(rival, clock)] for _ in range(n)])
    return pairs[:, 0], pairs[:, 1]


def spread(ratios: np.ndarray) -> str:
    return f"{np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"


def at_most(aim: float, ratios: np.ndarray, what: str, against: str) -> Row:
    return Row(what, against, f"{spread(ratios)} x", f"<= {aim} x", bool(np.median(ratios) <= aim))


def times_as_fast(aim: float, ratios: np.ndarray, what: str, against: str) -> Row:
    return Row(what, against, f"{spread(ratios)} times as fast", f">= {aim:g} x", bool(np.median(ratios) >= aim))


@contextmanager
def one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def own_memory() -> float:
    """Megabytes that belong to this process alone; pages of mapped files do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def peak_memory(work: Callable[[], object]) -> float:
    """How far `own_memory` rises above where it stood, in megabytes."""
    before, highest, done = own_memory(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest.append(own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(highest) - before


def afresh(work: Callable[..., T], *arguments: object) -> T:
    """`work` in a process of its own, where no memory lies ready from before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


@contextmanager
def empty_cache() -> Iterator[None]:
    before = os.environ.get("HN_CACHE")
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        os.environ["HN_CACHE"] = folder
        yield
    os.environ.pop("HN_CACHE") if before is None else os.environ.update(HN_CACHE=before)


# --- material --------------------------------------------------------------------------------------------------------


def random_llama(n_layers: int = 16, d_model: int = 512, d_mlp: int = 2048) -> tuple[HookedModel, LlamaForCausalLM]:
    """A Llama with random weights behind a HookedModel, and the same, plain."""
    study, folder = load_study("organism"), WORK / f"llama-{n_layers}-{d_model}"
    tokenizer = AutoTokenizer.from_pretrained(study.instruct)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        intermediate_size=d_mlp,
        num_hidden_layers=n_layers,
        num_attention_heads=d_model // 64,
        num_key_value_heads=d_model // 64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HookedModel.load(str(folder), study), LlamaForCausalLM.from_pretrained(folder).eval()


def some_examples(n: int, shortest: int = 20, longest: int = 60) -> list[Example]:
    """Rows of random ids, shortest first, with an answer of two tokens near the end."""
    rng, question = np.random.default_rng(0), Question("q", "?", ("a",), "e")
    rows = sorted((rng.integers(5, 500, rng.integers(shortest, longest + 1)).tolist() for _ in range(n)), key=len)
    return [Example(question, r[:-4], r[-4:], "", 1, [len(r) - 3, len(r) - 2], 0.0) for r in rows]


def answer_labels(n: int) -> np.ndarray:
    """One in four rows is a hallucinated answer, as in 3-vs-1."""
    return (np.arange(n) % 4 == 0).astype(int)


def contributions(n: int, p: int, height: int = 256) -> Iterator[np.ndarray]:
    """Half-precision rows like contributions, some at a time: heavy-tailed, a little correlated, and 40 neurons are
    louder in hallucinated answers."""
    generator, labels = torch.Generator().manual_seed(0), torch.from_numpy(answer_labels(n))
    loud, mix = torch.randperm(p, generator=generator)[:40], torch.randn(20, p, generator=generator) * 0.07
    for some in labels.split(height):
        logs = torch.randn(len(some), 20, generator=generator) @ mix + torch.randn(len(some), p, generator=generator)
        logs[:, loud] += 0.5 * some[:, None]
        yield (logs - 4).exp_().half().numpy()


def on_disk(n: int, p: int) -> TallMatrix:
    """The same, in shards of 64 rows, mapped."""
    stage, mapped = Stage("rows", {"n": n, "p": p}), []
    for index, values in enumerate(contributions(n, p, 64)):
        mapped.append(stage.save([str(index)], {"values": values})["values"])
    return TallMatrix(mapped)


def liblinear(X: np.ndarray, labels: np.ndarray, C: float) -> np.ndarray:
    """The official fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=C, l1_ratio=1, solver="liblinear", tol=1e-4, max_iter=1_000, random_state=42)
        model.fit(X, labels)
    return np.append(model.coef_[0], model.intercept_)


def cost(w: np.ndarray, X: np.ndarray, labels: np.ndarray, C: float) -> float:
    return objective(w, X @ w[:-1] + w[-1], np.where(labels == 1, 1, -1), C)


# --- the rows --------------------------------------------------------------------------------------------------------


def official_capture(model: LlamaForCausalLM, examples: list[Example], folder: Path) -> None:
    """As the official code: a forward pass per example, every activation kept, one float32 file per example."""
    norms = torch.stack([layer.mlp.down_proj.weight.norm(dim=0) for layer in model.model.layers])
    for i, example in enumerate(examples):
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        hooks = [
            layer.mlp.down_proj.register_forward_hook(lambda _, z, h, kept=kept: kept.append((z[0][0], h[0])))
            for layer in model.model.layers
        ]
        with torch.inference_mode():
            model(torch.tensor([example.ids]))
            z, h = torch.stack([z for z, _ in kept]), torch.stack([h for _, h in kept])
            shares = z.abs() * norms[:, None] / (h.norm(dim=-1, keepdim=True) + 1e-8)
            rest = [t for t in range(len(example.ids)) if t not in example.answer]
            for name, positions in (("answer", example.answer), ("other", rest)):
                np.save(folder / f"{i}-{name}.npy", shares[:, positions].mean(1).numpy())
        for hook in hooks:
            hook.remove()


def bench_capture() -> list[Row]:
    subject, plain = random_llama()
    examples = some_examples(64)
    batches = [examples[:32], examples[32:]]
    padded = [subject.encoder.pad([e.ids for e in batch], "right", subject.device) for batch in batches]

    def forward() -> None:
        with torch.inference_mode():
            for ids, mask in padded:
                plain.model(input_ids=ids, attention_mask=mask, use_cache=False)

    def ours() -> None:
        for batch in batches:
            mean_contributions(subject, batch)

    def captured() -> None:
        with empty_cache():
            capture(subject, examples, load_study("organism", batch_rows=32))

    mine, floor = in_turn(ours, forward, 7)
    whole, theirs = in_turn(captured, lambda: official_capture(plain, examples, WORK), 3)
    shapes = "random Llama, 16 layers, 64 prompts of 20-60 tokens"
    return [
        at_most(1.25, mine / floor, f"capture, {shapes}", "plain batched forward without lm_head"),
        at_most(0.33, whole / theirs, "the same, written to disk", "the official way"),
    ]


def capture_peak(n_layers: int, n: int) -> float:
    """Megabytes that a capture of `n` examples takes."""
    keep_freed_memory()
    subject, _ = random_llama(n_layers)
    with empty_cache():
        return peak_memory(lambda: capture(subject, some_examples(n, 40, 60), load_study("organism", batch_rows=32)))


def bench_memory() -> list[Row]:
    peaks = []  # each the highest of three: where blocks come to lie changes from run to run
    for sizes in ((4, 64), (16, 64), (16, 512)):
        peaks.append(max(afresh(capture_peak, *sizes) for _ in range(3)))
    few, more, long = peaks
    return [
        Row("capture memory, 4 layers, 64 examples", "", f"{few:.0f} MB", "", None),
        Row("the same, 16 layers", "", f"{more:.0f} MB, {more / few:.1f} x", "flat in layers", more / few < NOISE),
        Row(
            "the same, 512 examples", "", f"{long:.0f} MB, {long / more:.1f} x", "flat in examples", long / more < NOISE
        ),
    ]


def bench_path() -> list[Row]:
    n, p, rows = 2_000, 50_000, []
    parts, labels = list(contributions(n, p)), answer_labels(n)
    X, dense = TallMatrix(parts), np.concatenate(parts).astype(np.float64)
    with one_core():
        grid = c_grid(X, labels, 20)
        for depth, places in ((7, (1, 3, 5)), (20, (1, 7, 12, 18))):
            ours = [
                seconds(lambda d=depth: l1_path(X, labels, c_grid(X, labels, 20)[:d]), time.process_time)
                for _ in range(3)
            ]
            fits, theirs, better = l1_path(X, labels, grid[:depth]), [], []
            for place in places:
                start = time.process_time()
                rival = liblinear(dense, labels, grid[place])
                theirs.append(time.process_time() - start)
                w = np.zeros(p + 1)
                w[fits[place].neurons], w[-1] = fits[place].weights, fits[place].intercept
                better.append(cost(rival, dense, labels, grid[place]) / cost(w, dense, labels, grid[place]))
            factor = depth * np.mean(theirs) / np.array(ours)
            told = f"0 to {len(fits[-1].neurons)} neurons, {np.median(ours):.1f} s"
            violation = max(f.kkt_violation for f in fits)
            rows.append(
                Row(
                    f"L1 path of {depth} C, {n:,} x {p:,}, one core: {told}",
                    f"{depth} liblinear fits, tol 1e-4 ({len(places)} timed, {min(theirs):.0f} to {max(theirs):.0f} s)",
                    f"{spread(factor)} times as fast; violation <= {violation:.0e}; "
                    f"liblinear's objective {min(better):.4f} to {max(better):.4f} x ours",
                    ">= 50 x, <= 1e-4, never worse",
                    bool(np.median(factor) >= 50 and violation <= 1e-4 and min(better) >= 1 - 1e-6),
                )
            )
    return rows


def bench_deep() -> list[Row]:
    parts, labels = list(contributions(2_000, 8_000)), answer_labels(2_000)
    X, dense = TallMatrix(parts), np.concatenate(parts).astype(np.float64)
    C = c_grid(X, labels, 20)[13]
    with one_core():
        ours, theirs = in_turn(
            lambda: l1_path(X, labels, [C]), lambda: liblinear(dense, labels, C), 3, time.process_time
        )
    k = len(l1_path(X, labels, [C])[0].neurons)
    return [times_as_fast(1, theirs / ours, f"one deep C ({k} neurons), from nothing", "liblinear")]


def path_cost(n: int, p: int) -> tuple[float, float]:
    """Seconds and megabytes of a path of 20 C over rows on disk."""
    with empty_cache():
        X, labels = on_disk(n, p), answer_labels(n)
        with one_core():
            start = time.process_time()
            peak = peak_memory(lambda: l1_path(X, labels, c_grid(X, labels, 20)))
            return time.process_time() - start, peak


def bench_large(name: str, n: int, p: int, aim: str, most_s: float, most_mb: float) -> list[Row]:
    took, peak = afresh(path_cost, n, p)
    what = f"L1 path of 20 C at {name} size ({n:,} x {p:,}, one core)"
    return [Row(what, "", f"{took:.0f} s, {peak:.0f} MB", aim, took <= most_s and peak <= most_mb)]


def bench_sampling() -> list[Row]:
    study = load_study("organism")
    subject = HookedModel.load(study.instruct, study)
    prompts = prompts_of(subject.encoder, load_questions(study)[:48], study)
    once = replace(study.sampling, n=1)

    def separately() -> None:
        for prompt in prompts:
            for seed in range(10):
                generate(subject, [prompt], once, seed)

    ours, theirs = in_turn(lambda: generate(subject, prompts, study.sampling), separately, 3)
    return [times_as_fast(6, theirs / ours, "10 responses to 48 questions", "10 calls a question")]


def generating(keeps: bool) -> float:
    """Seconds of drawing 10 responses to 480 questions, in this process, which keeps freed memory or does not."""
    if keeps:
        keep_freed_memory()
    study = load_study("organism")
    subject = HookedModel.load(study.instruct, study)
    prompts = prompts_of(subject.encoder, load_questions(study)[:480], study)

    def draw_all() -> None:
        for start in range(0, len(prompts), 48):
            generate(subject, prompts[start : start + 48], study.sampling)

    draw_all()
    return seconds(draw_all)


def bench_allocation() -> list[Row]:
    ratios = np.array([afresh(generating, False) / afresh(generating, True) for _ in range(5)])
    what = "10 responses to 480 questions, freed memory kept (`keep_freed_memory`)"
    return [Row(what, "the C library's own setting", f"{spread(ratios)} times as fast", "", None)]


def bench_doses() -> list[Row]:
    study = load_study("organism")
    subject = HookedModel.load(study.instruct, study)
    items = few_of_each(question_set(study).items(study), 0, 20)
    groups = [[i for i in items if i.behaviour == b] for b in BEHAVIOURS]
    doses = [Dose(np.arange(0, subject.n_layers * subject.d_mlp, 200), alpha) for alpha in study.alphas]

    def together() -> None:
        with empty_cache():
            for group in groups:
                replies_at(subject, group, doses, study)

    def one_after_another() -> None:
        for group in groups:
            for dose in doses:
                with empty_cache():
                    replies_at(subject, group, [dose], study)

    ours, theirs = in_turn(together, one_after_another, 3)
    return [times_as_fast(3, theirs / ours, "7 alphas x 4 behaviours, 20 items each", "one alpha after another")]


def bench_storage() -> list[Row]:
    values = next(contributions(64, 459_000, 64))
    single = values.astype(np.float32)
    folder = WORK / "single"
    folder.mkdir()

    def write_single() -> None:
        for i, row in enumerate(single):
            with (folder / f"{i}.npy").open("wb") as file:
                np.save(file, row)
                os.fsync(file.fileno())  # as ours does: kept means kept

    def read_single() -> float:
        return sum(float(np.load(folder / f"{i}.npy").sum()) for i in range(64))

    with empty_cache():
        stage = Stage("storage", {})
        wrote, wrote_single = in_turn(lambda: stage.save(["0"], {"values": values}), write_single)
        (shard,) = stage.holding({"0"})
        size = shard.stat().st_size / sum(f.stat().st_size for f in folder.iterdir())
        read, read_singly = in_turn(
            lambda: TallMatrix([stage.read(shard)["values"]]).columns(np.arange(500)), read_single
        )
    what = "64 examples of 459,000 neurons"
    rival = "a float32 .npy each"
    return [
        Row(f"{what}: size", rival, f"{size:.2f} x", "0.5 x", round(size, 2) <= 0.5),
        times_as_fast(10, wrote_single / wrote, f"{what}: written, synced and hashed", rival),
        times_as_fast(8, read_singly / read, f"{what}: verified, 500 columns read", rival),
    ]


def bench_import() -> list[Row]:
    took = [seconds(lambda: subprocess.run([sys.executable, "-c", "import hn_utils"], check=True)) for _ in range(3)]
    return [Row("import hn_utils", "", f"{np.median(took):.2f} s", "< 1 s", bool(np.median(took) < 1))]


def bench_notebooks() -> list[Row]:
    """All notebooks in a copy of the project, so that nothing here changes."""
    root, copy = HERE.parent, WORK / "project"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "cache", "runs", ".venv", "__pycache__"))
    rows, command = [], [sys.executable, "-m", "hn_utils", "notebooks"]
    for name, aim in (("cold", 300), ("warm", 60)):
        places = {"HN_CACHE": str(WORK / "notebooks"), "HN_RUNS": str(WORK / "runs")}
        own = os.environ | places | {"PYTHONPATH": str(copy)}
        took = seconds(lambda e=own: subprocess.run(command, cwd=copy, env=e, check=True, stdout=subprocess.DEVNULL))
        rows.append(Row(f"the four notebooks, {name}", "", f"{took:.0f} s", f"<= {aim} s", took <= aim))
    return rows


def planned_and_taken() -> tuple[float, float]:
    """Seconds of a small study of the bundled model, as planned and as they were."""
    keep_freed_memory()
    study = load_study("organism-quick", name="planned", n_questions=150, n_items=8)
    with empty_cache(), redirect_stdout(io.StringIO()):
        told = 3600 * plan(study).hours
        return told, seconds(lambda: run(study, WORK / "planned"))


def bench_plan() -> list[Row]:
    planned, taken = afresh(planned_and_taken)
    what = f"python -m hn_utils run, 150 questions of each part: {taken:.0f} s"
    told = f"{planned / taken:.2f} x"
    return [Row(what, f"its plan: {planned:.0f} s", told, "0.67 to 1.5 x", 1 / 1.5 <= planned / taken <= 1.5)]


def bench_real() -> list[Row]:
    shape, device, dtype = at_hand()
    walked = afresh(walk, shape, device, dtype)
    what = f"random Llama of {shape} shape, {dtype}, {device}"
    steps = ", ".join(f"{step} {took:.0f} s" for step, took in walked.seconds.items())
    gpu = "" if walked.gpu_gb is None else f", GPU {walked.gpu_gb:.1f} GB"
    speed = f"{walked.tokens_per_second:.0f} tokens/s"
    return [
        Row(f"{what}: from loading to drift", "", f"{steps}; host {walked.host_gb:.1f} GB{gpu}; {speed}", "", None),
        at_most(1.05, np.array(walked.capture_to_forward), f"{what}: capture", "the same forward pass without hooks"),
        times_as_fast(6, np.array(walked.generate_to_ours), f"{what}: 10 responses", "10 calls of plain generate"),
    ]


def bench_weights() -> list[Row]:
    weighed = afresh(weigh)
    what = f"{WHICH}, real weights in bfloat16"
    pace, most = weighed.questions_a_second, weighed.host_gb
    return [
        Row(f"{what}: questions a second, ten draws each", "", f"{pace:.1f}", ">= 1.5", pace >= 1.5),
        Row(f"{what}: memory at most", "", f"{most:.1f} GB", "<= 8 GB", most <= 8),
        times_as_fast(1, np.array(weighed.float32_to_bfloat16), f"{what}: 10 responses", "float32"),
        times_as_fast(1, np.array(weighed.apart_to_shared), f"{what}: 48 questions behind five examples", "one by one"),
        times_as_fast(6, np.array(weighed.generate_to_ours), f"{what}: 10 responses", "10 calls of plain generate"),
        at_most(1.05, np.array(weighed.capture_to_forward), f"{what}: capture", "the same forward pass without hooks"),
    ]


def bench_growth() -> list[Row]:
    """How cost grows: figures, and the slopes of log cost against log size."""
    panels: dict[str, tuple[list[int], list[float]]] = {}
    with one_core():
        for title, sizes, shape in (
            ("L1 path: neurons", (10_000, 30_000, 100_000, 300_000), lambda p: (1_000, p)),
            ("L1 path: examples", (250, 500, 1_000, 2_000, 4_000), lambda n: (n, 20_000)),
        ):
            took = []
            for size in sizes:
                X, labels = TallMatrix(list(contributions(*shape(size)))), answer_labels(shape(size)[0])
                took.append(seconds(lambda X=X, y=labels: l1_path(X, y, c_grid(X, y, 20)[:12]), time.process_time))
            panels[title] = list(sizes), took

    def captured(subject: HookedModel, examples: list[Example]) -> float:
        mean_contributions(subject, examples)
        return float(np.median([seconds(lambda: mean_contributions(subject, examples)) for _ in range(3)]))

    subject, lengths = random_llama(8, 256, 1024)[0], (16, 32, 64, 128, 256)
    panels["capture of 32: tokens"] = list(lengths), [captured(subject, some_examples(32, n, n)) for n in lengths]
    depths = (4, 8, 16, 32)
    panels["capture of 32: layers"] = (
        list(depths),
        [captured(random_llama(d, 256, 1024)[0], some_examples(32, 40, 40)) for d in depths],
    )
    gallery = Gallery(BUNDLED, "bench")
    shown = gallery.publish(plots.growth(panels), "growth")
    if not shown.png:
        for name, image in draw({"growth": json.loads(str(shown.figure.to_json()))}).items():
            gallery.image(name).write_bytes(image)
    gallery.build_index()
    slopes = {title: plots.log_slope(x, y) for title, (x, y) in panels.items()}
    told = "; ".join(f"{title} {slope:.2f}" for title, slope in slopes.items())
    return [Row("cost against size", "log-log slopes", told, "", None)]


ROWS: dict[str, Callable[[], list[Row]]] = {
    "capture": bench_capture,
    "memory": bench_memory,
    "path": bench_path,
    "deep": bench_deep,
    "large": lambda: bench_large("Llama-3.1-8B", 4_000, 459_000, "<= 40 s, <= 500 MB beyond the mapped files", 40, 500),
    "largest": lambda: bench_large("Llama-3.3-70B", 2_000, 2_294_000, "runs within 24 GB", np.inf, 24_000),
    "sampling": bench_sampling,
    "allocation": bench_allocation,
    "doses": bench_doses,
    "storage": bench_storage,
    "import": bench_import,
    "plan": bench_plan,
    "real": bench_real,
    "weights": bench_weights,
    "growth": bench_growth,
    "notebooks": bench_notebooks,
}


def table(measured: dict[str, list[Row]]) -> str:
    rows = [row for name in ROWS for row in measured.get(name, [])]
    heads = ["| what | against | measured | aim | met |", "|---|---|---|---|---|"]
    lines = heads + [f"| {Row(*row).line} |" for row in rows]
    return "\n".join([f"Measured on {measured['machine']}.", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"some of {', '.join(ROWS)}; the others stay as they were measured")
    names = parser.parse_args().rows
    unknown = set(names) - set(ROWS)
    if unknown:
        raise SystemExit(f"error: unknown rows {sorted(unknown)}: choose from {', '.join(ROWS)}")
    logging.disable_progress_bar()
    keep_freed_memory()  # as a run does
    measured = json.loads((KEPT / "measured.json").read_text())
    measured["machine"] = (
        f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    try:
        for name in names or ROWS:
            measured[name] = ROWS[name]()
            print("\n".join(row.line for row in measured[name]), flush=True)
    finally:  # also after an interruption: what has been measured is kept
        (KEPT / "measured.json").write_text(json.dumps(measured, indent=1) + "\n")
        page = KEPT / "README.md"
        page.write_text(between(page.read_text(), MARK, table(measured)))


if __name__ == "__main__":
    main()
