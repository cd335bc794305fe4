"""What a study will cost on this machine, told before any weights are loaded: passes, tokens, hours, memory, disk.

Prompts are counted exactly, from the questions and the tokenizer; the model's shape is read from its configuration.
What an earlier run left on disk is found by the same keys and not counted. What only the run will show is counted at
its most: every question gives an example, a long reply runs to its limit. Only how long plain answers are is assumed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PretrainedConfig,
)
from transformers.initialization import no_init_weights

from hn_utils.baselines import read as readings_of
from hn_utils.cache import NotKept, only_looking
from hn_utils.chat_model import CHARACTERS_PER_TOKEN
from hn_utils.collecting import Collected
from hn_utils.contributions import EXAMPLES_PER_SHARD, REGIONS, capture, mean_contributions
from hn_utils.finding import find
from hn_utils.hub import explained, known_fingerprint, patience
from hn_utils.intervene import UNSCALED, Dose, dosed
from hn_utils.intervening import dose_response, few_of_each
from hn_utils.items import RULES
from hn_utils.judges import RUBRICS, judging_talk
from hn_utils.question_sets import load_questions, question_set
from hn_utils.questions import Question
from hn_utils.responses import Example, NothingConsistent, build_examples, prompt_ids, sample_responses
from hn_utils.study import Study
from hn_utils.subject import Subject, best_device, read_tokenizer

T = TypeVar("T")
ANSWER = 4  # tokens of a plain answer and its end: the median of published ones (Gemma, Llama, Mistral)
LONGEST = 8  # tokens of the longest of the plain answers to six questions, which are drawn together, by the same
PLAIN = 50  # tokens; what may not be longer is taken for a plain answer
LIBRARIES = 1e9  # bytes that Python and its libraries take, measured on the bundled model
A_WHILE = 1.0  # seconds; what takes as long is not tried at a larger size
STEPS = 4  # tokens written while a step is timed
SMALL = 256e6  # bytes of layers that the probe makes at most, but two layers at least
NAME = 36  # bytes of an item's name in the shard that holds it
SCORES = 24  # bytes of each logit while a token is drawn: scores, their order, their sums
UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


# --- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """One step of a study, and what is left of it to do.

    `n` of its items have to be computed, `kept` are on disk. `reads` are forward passes over texts, of `read` token
    positions in all; `writes` are passes that write one token in each row of a batch, `written` in all. Padding counts.
    `new` is what a row of its largest batch writes, `width` what it reads, `rows` how many there are. `disk` is in
    bytes.
    """

    step: str
    n: int = 0
    kept: int = 0
    reads: int = 0
    read: int = 0
    writes: int = 0
    written: int = 0
    disk: int = 0
    rows: int = 0
    width: int = 0
    new: int = 0
    scaled: bool = False

    @property
    def passes(self) -> int:
        return self.reads + self.writes

    @property
    def tokens(self) -> int:
        return self.read + self.written

    def __add__(self, other: Work) -> Work:
        """Both under the name of the first, one after the other."""
        sums = {f: getattr(self, f) + getattr(other, f) for f in ("n", "kept", "reads", "read", "writes", "written")}
        most = {f: max(getattr(self, f), getattr(other, f)) for f in ("rows", "width", "new")}
        return replace(self, **sums, **most, disk=self.disk + other.disk, scaled=self.scaled or other.scaled)


def in_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(lengths), size):
        yield list(lengths[start : start + size])


def reading(step: str, lengths: Sequence[int], shard: int, size: int) -> Work:
    """Texts of these lengths read in shards, each from the shortest to the longest in batches of `size`."""
    done = Work(step, n=len(lengths))
    for some in in_batches(lengths, shard):
        for batch in in_batches(sorted(some), size):
            done += Work("", reads=1, read=len(batch) * max(batch), rows=len(batch), width=max(batch))
    return done


def writing(step: str, prompts: Sequence[int], size: int, draws: int, new: int, scaled: bool = False) -> Work:
    """`draws` texts of `new` tokens after each prompt: the prompt is read but for its last token, then written on."""
    done = Work(step, n=len(prompts), scaled=scaled)
    for batch in in_batches(prompts, size):
        rows, width = len(batch) * draws, max(batch)
        once = Work("", reads=1, read=len(batch) * (width - 1), writes=new, written=new * rows)
        done += replace(once, rows=rows, width=width, new=new)
    return done


# --- a model that is not there ---------------------------------------------------------------------------------------


class Absent(Subject):
    """A model's name, shape and tokenizer without its weights: enough to put questions, and to look up what is kept."""

    def __init__(self, name: str, study: Study) -> None:
        """Raises OSError if configuration or tokenizer cannot be read, ValueError if the model has no gated MLPs."""
        place, _, revision = (name, "", "") if Path(name).exists() else name.partition("@")
        options: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            with patience():
                self.config: PretrainedConfig = AutoConfig.from_pretrained(place, **options)
                self.tokenizer = read_tokenizer(place, options)
        except Exception as error:
            raise OSError(f"could not read the configuration of {name!r} {explained(error)}") from error
        self.name, self.study, self.text_config = name, study, self.config.get_text_config()
        if not hasattr(self.text_config, "intermediate_size"):
            raise ValueError(f"{name} has no intermediate_size in its configuration: only gated MLPs are studied")
        self.n_layers, self.d_mlp = self.text_config.num_hidden_layers, self.text_config.intermediate_size
        self.device = torch.device(best_device() if study.device in ("auto", "several") else study.device)
        try:
            self.ends = GenerationConfig.from_pretrained(place, **options).eos_token_id
        except OSError:  # many models have no such file
            self.ends = self.text_config.eos_token_id

    @property
    def fingerprint(self) -> str:
        return known_fingerprint(self.name, self.config, self.study) or "never loaded here"

    def key(self, version: int, **settings: Any) -> dict[str, Any]:
        own = {"model": self.fingerprint, "dtype": self.study.dtype, "device": self.device.type}
        return {"version": version, **own, **settings}

    @cached_property
    def stop_ids(self) -> set[int]:
        return {self.tokenizer.eos_token_id, *(self.ends if isinstance(self.ends, list) else [self.ends])} - {None}

    @cached_property
    def weights(self) -> float:
        """Bytes of all parameters, exactly: the model is built without memory. Quantised are the layers alone."""
        kind = AutoModelForCausalLM if self.text_config is self.config else AutoModelForImageTextToText
        with torch.device("meta"):
            model = kind.from_config(self.config)
        size = dtype_of(self.study).itemsize
        layers = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
        rest = sum(p.numel() for p in model.parameters()) - layers
        return rest * size + layers * (self.study.bits / 8 if self.study.bits else size)

    def shallow(self, depth: int) -> Subject:
        """The same shape with few layers, whose weights are all alike: as fast as any others."""
        config = deepcopy(self.text_config)
        config.num_hidden_layers = depth
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:depth]
        with torch.device(self.device), no_init_weights():
            model = AutoModelForCausalLM.from_config(config, dtype=dtype_of(self.study))
        model.tie_weights()
        model.config.architectures = [
            type(model).__name__
        ]  # by which TransformerLens knows the text part of a larger one
        for weight in model.parameters():
            weight.data.fill_(0.02)
        bridge = TransformerBridge.boot_transformers(
            self.name, hf_model=model.eval(), tokenizer=self.tokenizer, device=str(self.device), dtype=model.dtype
        )
        return Subject(bridge, self.tokenizer, self.name, self.study)


def dtype_of(study: Study) -> torch.dtype:
    return getattr(torch, study.dtype)


# --- the walk --------------------------------------------------------------------------------------------------------


def looked_up(stage: str, work: Callable[[], T], n: int) -> tuple[T | None, list[int], int]:
    """What `work` gives if all of it is on disk, else None; which of this stage's `n` items are not; how many are."""
    try:
        with only_looking():
            return work(), [], n
    except NotKept as absent:
        return (None, list(absent.missing), absent.kept) if absent.stage == stage else (None, [], n)


@dataclass(frozen=True)
class Asked:
    """One model's answers as far as they are on disk: what is left to do, and the collected whole if nothing is."""

    works: list[Work]
    judged: int
    collected: Collected | None


def asked_of(model: Absent, study: Study, questions: list[Question], base: bool) -> Asked:
    """Answers, contributions and, of the instruct model, readings and everyday answers."""
    prompts, n = [len(prompt_ids(model, q, study, base)) for q in questions], study.sampling.n
    drawn, missing, there = looked_up(
        "responses", lambda: sample_responses(model, questions, study, base), len(questions)
    )
    new, left = longest(study.sampling.max_new_tokens), [prompts[i] for i in missing]
    if study.served_at and not base:  # drawn elsewhere, and read here, a question at a time
        answers = reading("answers", [p + new for p in left for _ in range(n)], n, n)
    else:
        answers = writing("answers", left, max(1, study.batch_rows // n), n, new)
    answers = replace(answers, n=len(left), kept=there)
    judged = 0 if drawn or not study.judge else len(questions) * n
    examples: list[Example] = []
    if drawn:
        try:
            with only_looking():
                examples = build_examples(model, questions, drawn, study, base)
        except (NothingConsistent, NotKept):
            drawn = None
    if not drawn:  # every question counts as kept
        assumed = [p + min(study.sampling.max_new_tokens, ANSWER) for p in prompts]
        return Asked([answers, *captured(model, assumed, 0, base)], judged, None)
    kept = [e for e in examples if e.label is not None]
    read, missing, there = looked_up("contributions", lambda: capture(model, kept, study), len(kept))
    works = captured(model, [len(kept[i].ids) for i in missing], there, base)
    if not base:
        _, unread, there = looked_up("readings", lambda: readings_of(model, kept, study), len(kept))
        works[1] = readings(model, [len(kept[i].ids) for i in unread], there)
    collected = Collected(model, study, questions, drawn, examples, read) if read else None
    return Asked([answers, *works], judged, collected)


def captured(model: Absent, lengths: list[int], kept: int, base: bool) -> list[Work]:
    """Contributions of examples of these lengths, and of the instruct model the readings beside them."""
    size = len(REGIONS) * model.n_layers * model.d_mlp * 2 + NAME  # half precision
    done = reading("contributions", lengths, EXAMPLES_PER_SHARD, model.study.batch_rows)
    works = [replace(done, kept=kept, disk=len(lengths) * size)]
    return works if base else [*works, readings(model, lengths, kept)]


def readings(model: Absent, lengths: list[int], kept: int) -> Work:
    size, at_once = (model.n_layers * model.text_config.hidden_size + 2) * 4 + NAME, min(256, model.study.batch_rows)
    return replace(reading("readings", lengths, at_once, at_once), kept=kept, disk=len(lengths) * size)


def everyday(model: Absent, study: Study, collected: Collected) -> Work:
    """First answers to held-out questions that the consistency filter dropped, or that are not the commonest."""
    picked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "train"]
    asked, first = [collected.questions[i] for i in picked], [collected.responses[i][:1] for i in picked]
    try:
        examples = [e for e in build_examples(collected.subject, asked, first, study) if e.label is not None]
    except NothingConsistent:
        return Work("everyday answers")
    _, missing, kept = looked_up("contributions", lambda: capture(collected.subject, examples, study), len(examples))
    works = captured(model, [len(examples[i].ids) for i in missing], kept, base=True)
    return replace(works[0], step="everyday answers")


def pressed(model: Absent, study: Study, collected: Collected | None) -> tuple[list[Work], int]:
    """Replies at doses and the loss of ordinary text, and how many replies a chat model judges.

    They are all kept or all counted: which neurons are scaled is not known before the probe is fitted.
    """
    source = question_set(study)
    asked = few_of_each(source.items(study), study.seed, 5 * study.n_items)
    items, texts = few_of_each(asked, study.seed, study.n_items), source.texts(study)
    n_doses, works = len(study.alphas) + 2 * study.n_random_sets, []
    openings = {(text, item.max_new_tokens) for item in asked for text in (item.question, *item.turns[:-1]) if text}
    for new in sorted({new for _, new in openings}):
        prompts = [len(talk(model, [text])) for text, own in sorted(openings) if own == new]
        works.append(writing("replies", prompts, study.batch_rows, 1, longest(new)))
    for kind in dict.fromkeys((item.behaviour, item.max_new_tokens) for item in items):
        group = [item for item in items if (item.behaviour, item.max_new_tokens) == kind]
        lengths = [
            len(talk(model, item.turns)) + (len(item.turns) - 1) * longest(item.max_new_tokens) for item in group
        ]
        for doses in (len(study.alphas), 2 * study.n_random_sets):
            cells = [length for length in lengths for _ in range(doses)]
            works.append(writing("replies", cells, study.batch_rows, 1, longest(kind[1]), scaled=True))
    replies = total("replies", works)
    lengths = [len(model.text(text)) for text, _ in texts]
    losses = [
        reading("ordinary text", [n for n in lengths for _ in range(doses)], study.batch_rows, study.batch_rows)
        for doses in (len(study.alphas), 2 * study.n_random_sets)
    ]
    loss, judged = total("ordinary text", losses), sum(item.rule not in RULES for item in items) * n_doses
    if collected and all_kept(model, collected):
        return [Work("replies", kept=replies.n), Work("ordinary text", kept=loss.n)], 0
    return [replies, loss], judged


def longest(limit: int) -> int:
    """Tokens that the longest reply of a batch is taken to have."""
    return min(limit, LONGEST) if limit <= PLAIN else limit


def talk(model: Absent, turns: Sequence[str]) -> list[int]:
    """A dialogue whose replies are empty so far."""
    messages = [{"role": "user", "content": turns[0]}]
    for turn in turns[1:]:
        messages += [{"role": "assistant", "content": ""}, {"role": "user", "content": turn}]
    return model.chat(messages)


def all_kept(model: Absent, collected: Collected) -> bool:
    """Have the neurons that the kept contributions give been scaled before?"""
    try:
        with only_looking():
            dose_response(model, find(collected))
    except (NotKept, ValueError):
        return False
    return True


def total(step: str, works: Sequence[Work]) -> Work:
    return sum(works, Work(step))


# --- the machine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine takes for a token position that is read, for a step that writes a token in each of
    `batch_rows` rows, plainly and with scaled neurons, and for a floating-point operation outside the model."""

    read: float
    write: float
    scaled: float
    flop: float


def seconds(timed: Callable[[int], float], full: int) -> float:
    """What `timed(full)` tells, or would: from smaller sizes, in proportion, if to try it takes longer than A_WHILE."""
    timed(1)  # to warm up
    told, elapsed = {}, 0.0
    size = 1
    while size not in told and elapsed < A_WHILE:
        start = perf_counter()
        told[size] = timed(size)
        elapsed, size = perf_counter() - start, min(full, 4 * size)
    if full in told:
        return float(np.median([told[full], *(timed(full) for _ in range(2 * (elapsed < A_WHILE / 4)))]))
    if len(told) == 1:
        return told[1] * full
    (few, little), (most, much) = list(told.items())[-2:]
    return much + max(much - little, 0.0) / (most - few) * (full - most)


def waited(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    start = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - start


def measured(model: Absent, depth: int, width: int) -> Float[np.ndarray, "3"]:
    """Seconds at this many layers: of a position that is read, and of a step, plain and scaled."""
    subject, study, passes = model.shallow(depth), model.study, list[float]()
    row = (subject.text("a") * width)[:width]
    example = Example(Question("q", "?", ("a",), "e"), row[:-2], row[-2:], "", 1, [width - 2, width - 1], 0.0)
    dose = Dose(np.arange(0, depth * subject.d_mlp, max(1, subject.d_mlp // 8)), 2.0)
    subject.model.base_model.register_forward_pre_hook(lambda *_: passes.append(perf_counter()))

    def step(rows: int, doses: Sequence[Dose]) -> float:
        passes.clear()
        with dosed(subject, doses):
            subject.generate([row] * rows, replace(study.sampling, n=1, max_new_tokens=STEPS))
        return float(np.median(np.diff(passes[1:])))  # the first pass reads the prompts

    def read(rows: int) -> float:
        return waited(lambda: mean_contributions(subject, [example] * rows), subject.device)

    full = study.batch_rows
    return np.array(
        [
            seconds(read, full) / (full * width),
            seconds(lambda rows: step(rows, [UNSCALED]), full),
            seconds(lambda rows: step(rows, [dose] * rows), full),
        ]
    )


def pace_of(model: Absent, width: int) -> Pace:
    """Measured on two depths, unless all layers are few, and drawn out in proportion to the layers."""
    per_layer = 3 * model.d_mlp * model.text_config.hidden_size * dtype_of(model.study).itemsize
    depth = int(min(model.n_layers, max(2, SMALL // per_layer)))
    try:
        deep = measured(model, depth, width)
        if depth < model.n_layers:
            shallow = measured(model, 1, width)
            deep = deep + np.maximum(deep - shallow, 0) / (depth - 1) * (model.n_layers - depth)
    except (RuntimeError, MemoryError) as error:
        raise OSError(f"could not measure {depth} layers of {model.name!r} here {explained(error)}") from error
    square = torch.ones(1024, 1024)
    flop = seconds(lambda _: waited(lambda: square @ square, square.device), 1) / (2 * 1024**3)
    read, write, scaled = deep.tolist()
    return Pace(read, write, scaled, flop)


# --- the plan --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is left of a study to do, step by step, and what it takes. Bytes, seconds and dollars.

    `weights` is one model's; `models` of them are held at once. `device_memory` is the peak of the device that runs the
    model, `host_memory` that of the computer beside it (the same where they are one). `judge_calls` may turn out fewer:
    equal answers are sent once, and what was paid for is kept. None in `dollars` means that no price is known.
    """

    study: Study
    device: str
    works: list[Work]
    seconds: list[float]
    weights: float
    models: int
    device_memory: float
    host_memory: float
    judge_calls: int
    dollars: float | None

    @property
    def hours(self) -> float:
        return sum(self.seconds) / 3600

    @property
    def disk(self) -> int:
        return sum(work.disk for work in self.works)

    @property
    def table(self) -> list[list[str]]:
        """Heads, a row a step, and their sum."""
        heads = ["step", "to do", "kept", "passes", "tokens", "time", "disk"]
        rows = [cells(work, took) for work, took in zip(self.works, self.seconds, strict=True)]
        whole = cells(replace(total("all", self.works), n=0, kept=0), 3600 * self.hours)
        return [heads, *rows, [whole[0], "", "", *whole[3:]]]

    @property
    def remarks(self) -> list[str]:
        device, host = gigabytes(self.device_memory), gigabytes(self.host_memory)
        where = f"memory: {device}" if self.device == "cpu" else f"{self.device} memory: {device}, host memory: {host}"
        told = [
            f"{where}; {self.models} models of {gigabytes(self.weights)} are held at once when weights are compared",
            f"times are measured on this machine ({self.device}, {self.study.dtype}), without downloads and loading",
            f"plain answers are taken to have {ANSWER} tokens, {LONGEST} the longest of a batch; all else is at most",
        ]
        if self.study.judge:
            price = "of unknown price (set judge_price)" if self.dollars is None else f"at most ${self.dollars:,.2f}"
            told.append(f"{self.study.judge}: at most {self.judge_calls:,} calls, {price}")
        if self.study.bits:
            told.append(f"times are those of {self.study.dtype}: {self.study.bits} bits were not measured")
        if self.study.served_at:
            told.append(f"answers are drawn at {self.study.served_at}: its time is not counted")
        return told

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.table, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in self.table
        ]
        return "\n".join([f"plan of {self.study.name}", *lines, *self.remarks])

    def _repr_html_(self) -> str:
        heads, *rows = ([html.escape(cell) for cell in row] for row in self.table)
        body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        told = "<br>".join(map(html.escape, self.remarks))
        return f"<table><tr><th>{'</th><th>'.join(heads)}</th></tr>{body}</table><p>{told}</p>"


def cells(work: Work, took: float) -> list[str]:
    disk = gigabytes(work.disk) if work.disk else ""
    return [work.step, *(f"{n:,}" for n in (work.n, work.kept, work.passes, work.tokens)), clock(took), disk]


def clock(took: float) -> str:
    size, unit = next(((s, u) for s, u in UNITS if took >= s), UNITS[-1])
    return f"{took / size:.1f} {unit}"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def plan(study: Study) -> Plan:
    """What `python -m hn_utils run` will cost on this machine (the notebooks scale neurons about three times as often);
    nothing is computed, and nothing downloaded but questions, configurations and tokenizers.

    Forward passes and tokens are exact but for the lengths of what will be written. The hours are good to about a
    factor of 1.5 where answers are as short as assumed. Raises OSError if a configuration, a tokenizer or a question
    set cannot be read, ValueError if the study or the model is none that can be studied.
    """
    if not isinstance(getattr(torch, study.dtype, None), torch.dtype):
        raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
    questions, instruct = load_questions(study), Absent(study.instruct, study)
    own = asked_of(instruct, study, questions, base=False)
    works, judged = list(own.works), own.judged
    if own.collected:
        works.append(everyday(instruct, study, own.collected))
    replies, more = pressed(instruct, study, own.collected)
    held_out = [q for q in questions if q.part == "standard" and q.split == "test"]
    elsewhere = [asked_of(Absent(name, study), study, held_out, base=True) for name in (study.base, *study.checkpoints)]
    works += [*replies, *(replace(w, step=f"base: {w.step}") for w in elsewhere[0].works)]
    later = [list(some) for some in zip(*(one.works for one in elsewhere[1:]), strict=True)]
    works += [total(f"checkpoints: {some[0].step}", some) for some in later]
    pace = pace_of(instruct, int(np.median([w.width for w in works if w.width] or [32])))
    took = [seconds_of(work, pace, study) for work in works]
    kept = next(w.n + w.kept for w in works if w.step == "contributions")
    analysed = probes(instruct, kept, sum(q.split == "train" for q in questions), pace)
    works.append(Work("probes", n=1))
    calls = [(judged + sum(one.judged for one in elsewhere), 16), (more, 16), (len(questions) * study.judge_spans, 64)]
    models = 2 + bool(study.checkpoints)  # instruct, base, and a checkpoint at a time
    device, host = memory(instruct, works, kept, models)
    if instruct.device.type == "cpu":
        device = host = device + host
    return Plan(
        study,
        instruct.device.type,
        works,
        [*took, analysed],
        instruct.weights,
        models,
        device,
        host,
        sum(n for n, _ in calls),
        dollars(study, questions, calls),
    )


def seconds_of(work: Work, pace: Pace, study: Study) -> float:
    step = (pace.scaled if work.scaled else pace.write) / study.batch_rows
    return work.read * pace.read + work.written * step


def probes(model: Absent, n: int, n_train: int, pace: Pace) -> float:
    """Seconds of fitting: the inner products of the dense probe, and as much as reading all rows a hundred times."""
    neurons = model.n_layers * model.d_mlp
    return (2 * n * n_train + 100 * 2 * n) * neurons * pace.flop


def memory(model: Absent, works: Sequence[Work], n: int, models: int) -> tuple[float, float]:
    """Peak bytes of the model, and of what is kept beside it on the host."""
    config, size = model.text_config, dtype_of(model.study).itemsize
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    of_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * model.n_layers * heads * of_head * size
    drawing = [w.rows * ((w.width + w.new) * per_token + config.vocab_size * SCORES) for w in works if w.new]
    pooled = 2 * len(REGIONS) * model.n_layers * model.d_mlp * 4
    activations = model.d_mlp * (2 * size + 8)
    reading_ = [w.rows * (pooled + w.width * activations) for w in works if w.rows and not w.new]
    device = models * model.weights + max([*drawing, *reading_], default=0)
    residual = 2 * n * model.n_layers * config.hidden_size * 4  # of the residual-stream probe, and standardised
    return device, residual + LIBRARIES


def dollars(study: Study, questions: Sequence[Question], calls: Sequence[tuple[int, int]]) -> float | None:
    """At most, for calls that are each read once and write so many tokens; None if no price is known."""
    if study.judge_price is None:
        return None
    some = questions[:: max(1, len(questions) // 100)]
    materials = [{"question": q.text, "accepted answers": q.aliases, "response": "x" * 4 * ANSWER} for q in some]
    talks = [judging_talk(RUBRICS["answer"].task, material) for material in materials]
    read = np.mean([sum(len(m["content"]) for m in messages) for messages in talks]) / CHARACTERS_PER_TOKEN
    return float(sum(n * (read * study.judge_price[0] + new * study.judge_price[1]) for n, new in calls) / 1e6)
