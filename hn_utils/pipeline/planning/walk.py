"""The steps of a study, walked without a model: what is left of each to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

from hn_utils.answers.asking import chat_about, prompts_of
from hn_utils.answers.examples import Example, NothingConsistent
from hn_utils.answers.sampling import build_examples, sample_responses
from hn_utils.contributions.cett import EXAMPLES_PER_SHARD, REGIONS, capture
from hn_utils.contributions.collected import Collected
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.kv_cache import shared_beginning
from hn_utils.pipeline.planning.work import Work, comparing, reading, writing
from hn_utils.probing.baselines import read as readings_of
from hn_utils.probing.find import find
from hn_utils.questions.items import CAPABILITY, RULES, Item, behaviour_called
from hn_utils.questions.question_sets import load_items, question_set
from hn_utils.stats.rank_test import sets_needed
from hn_utils.steering.broken import DRAWS
from hn_utils.steering.dose_response import N_TEXT_SETS, dose_response
from hn_utils.steering.measure import AT_ONCE, few_of_each
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.storage.cache import NotKept, only_looking

if TYPE_CHECKING:
    from hn_utils.models.weightless import WeightlessModel
    from hn_utils.questions.question import Question
    from hn_utils.study import Study

ANSWER = 4  # tokens of a plain answer and its end: the median of published ones (Gemma, Llama, Mistral)
LONGEST = 8  # tokens of the longest of the plain answers to six questions, which are drawn together, by the same
NAME = 36  # bytes of an item's name in the shard that holds it
_PLAIN = 50  # tokens; what may not be longer is taken for a plain answer
_KINDS = 2  # of control sets: picked on shuffled labels, and random ones as loud
SCALED = len(CONTROL_ALPHAS) - 1  # of the alphas of a control set: 1 changes nothing
STEPS = ("replies", "likelihood of replies", "log-odds", "ordinary text")  # of pressing
T = TypeVar("T")


def _looked_up(stage: str, work: Callable[[], T], n: int) -> tuple[T | None, list[int], int]:
    """What `work` gives if all of it is on disk, else None; which of this stage's `n` items are not; how many are."""
    try:
        with only_looking():
            return work(), [], n
    except NotKept as absent:
        return (None, list(absent.missing), absent.kept) if absent.stage == stage else (None, [], n)


def _for_stages(model: WeightlessModel) -> HookedModel:
    """The model as stages take it. Within `only_looking` they ask it for its key, its shape and its prompts alone, and
    stop where its weights would be needed."""
    return cast(HookedModel, model)


@dataclass(frozen=True)
class Asked:
    """One model's answers as far as they are on disk: what is left to do, and the collected whole if nothing is."""

    works: list[Work]
    judged: int
    collected: Collected | None


def asked_of(model: WeightlessModel, study: Study, questions: list[Question], base: bool) -> Asked:
    """Answers, contributions and, of the instruct model, readings and everyday answers."""
    asked, n = prompts_of(model.encoder, questions, study, base), study.sampling.n
    prompts, shared = [len(prompt) for prompt in asked], shared_beginning(model.config, asked)
    drawn, missing, there = _looked_up(
        "responses", lambda: sample_responses(_for_stages(model), questions, study, base), len(questions)
    )
    new, left = longest(study.sampling.max_new_tokens), [prompts[i] for i in missing]
    if study.served_at and not base:  # drawn elsewhere, and read here, a question at a time
        answers = reading("answers", [p + new for p in left for _ in range(n)], n, n, model.layer_size)
    else:
        answers = writing("answers", left, max(1, study.batch_rows // n), n, new, model.layer_size)
    answers = replace(answers, n=len(left), kept=there)
    judged = 0 if drawn or not study.judge else len(questions) * n
    examples: list[Example] = []
    if drawn:
        try:
            with only_looking():
                examples = build_examples(model.encoder, questions, drawn, study, base)
        except (NothingConsistent, NotKept):
            drawn = None
    if not drawn:  # every question counts as kept
        assumed = [p + min(study.sampling.max_new_tokens, ANSWER) for p in prompts]
        return Asked([answers, *captured(model, assumed, 0, base, shared)], judged, None)
    kept = [e for e in examples if e.label is not None]
    read, missing, there = _looked_up("contributions", lambda: capture(_for_stages(model), kept, study), len(kept))
    works = captured(model, [len(kept[i].ids) for i in missing], there, base, shared)
    if not base:
        _, unread, there = _looked_up("readings", lambda: readings_of(_for_stages(model), kept, study), len(kept))
        works[1] = readings(model, [len(kept[i].ids) for i in unread], there)
    collected = Collected(_for_stages(model), study, questions, drawn, examples, read) if read else None
    return Asked([answers, *works], judged, collected)


def captured(model: WeightlessModel, lengths: list[int], kept: int, base: bool, shared: int) -> list[Work]:
    """Contributions of examples of these lengths, of which `shared` tokens are read once for many, and of the instruct
    model the readings beside them."""
    size = len(REGIONS) * model.n_layers * model.d_mlp * 2 + NAME  # half precision
    done = reading("contributions", lengths, EXAMPLES_PER_SHARD, model.study.batch_rows, model.layer_size, shared)
    works = [replace(done, kept=kept, disk=len(lengths) * size)]
    return works if base else [*works, readings(model, lengths, kept)]


def readings(model: WeightlessModel, lengths: list[int], kept: int) -> Work:
    size, at_once = (model.n_layers * model.text_config.hidden_size + 2) * 4 + NAME, min(256, model.study.batch_rows)
    done = reading("readings", lengths, at_once, at_once, model.layer_size)
    return replace(done, kept=kept, disk=len(lengths) * size)


def everyday(model: WeightlessModel, study: Study, collected: Collected) -> Work:
    """First answers to held-out questions that the consistency filter dropped, or that are not the commonest."""
    picked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "train"]
    asked, first = [collected.questions[i] for i in picked], [collected.responses[i][:1] for i in picked]
    try:
        examples = [e for e in build_examples(collected.subject.encoder, asked, first, study) if e.label is not None]
    except NothingConsistent:
        return Work("everyday answers")
    shared = shared_beginning(model.config, [example.ids for example in examples])
    _, missing, kept = _looked_up("contributions", lambda: capture(collected.subject, examples, study), len(examples))
    works = captured(model, [len(examples[i].ids) for i in missing], kept, base=True, shared=shared)
    return replace(works[0], step="everyday answers")


@dataclass(frozen=True)
class Pressed:
    """What pressing takes: replies at doses, how likely they are, log-odds, the loss of ordinary text, and how many
    replies a chat model judges.

    Of control sets the first of either kind are counted, by which most nulls are settled. `further` and
    `further_judged` are what comes on top if every behaviour goes on to as many sets as there are.
    """

    works: list[Work]
    judged: int
    further: list[Work]
    further_judged: int


def pressed(model: WeightlessModel, study: Study, collected: Collected | None) -> Pressed:
    """All of it is kept or all is counted: which neurons are scaled is not known before the probe is fitted."""
    asked = few_of_each(load_items(study), study.seed, 5 * study.n_items)
    items = few_of_each(asked, study.seed, study.n_items)
    works, further = [*_plainly(model, asked), *_text_losses(model, study)], list[Work]()
    judged = further_judged = 0
    for group in alike(items):
        works += _unscaled(model, group)
        first, more = len(study.alphas) + control_doses(study), _further_doses(study, group[0].behaviour)
        for doses in (len(study.alphas), *_KINDS * [control_doses(study) // _KINDS]):
            works += _at_doses(model, group, doses)
        for doses in (len(study.alphas), control_doses(study, study.n_graded_sets)):
            works.append(_compared_at(model, group, doses))
        further += _at_doses(model, group, more)
        n_judged = sum(item.rule not in RULES for item in group)
        judged += n_judged * first
        further_judged += n_judged * more
    steps = [total(step, [work for work in works if work.step == step]) for step in STEPS]
    if collected and _all_kept(model, collected):
        return Pressed([Work(work.step, kept=work.n) for work in steps], 0, [], 0)
    return Pressed(steps, judged, further, further_judged)


def alike(items: Sequence[Item]) -> list[list[Item]]:
    """Items of one behaviour whose replies may be as long."""
    groups: dict[tuple[str, int], list[Item]] = {}
    for item in items:
        groups.setdefault((item.behaviour, item.max_new_tokens), []).append(item)
    return list(groups.values())


def _plainly(model: WeightlessModel, items: Sequence[Item]) -> list[Work]:
    """Replies to what is said before any pressure, by which it is seen what the model knows."""
    openings = {(text, item.max_new_tokens) for item in items for text in item.openings}
    works = []
    for new in sorted({new for _, new in openings}):
        prompts = [len(talk(model, [text])) for text, own in sorted(openings) if own == new]
        works.append(writing("replies", prompts, model.study.batch_rows, 1, longest(new), model.layer_size))
    return works


def _unscaled(model: WeightlessModel, items: Sequence[Item]) -> list[Work]:
    """What the unscaled model writes to items of one kind: its own replies, which others are held against, and a greedy
    one, as which the two endings of the log-odds begin."""
    prompts, new, rows = _prompt_lengths(model, items), longest(items[0].max_new_tokens), model.study.batch_rows
    works = [writing("likelihood of replies", prompts, max(1, rows // DRAWS), DRAWS, new, model.layer_size)]
    compared, behaviour = any(map(_is_graded, items)), behaviour_called(items[0].behaviour)
    if compared and behaviour.sampling.temperature > 0:  # else it is the reply at alpha 1
        works.append(writing("replies", prompts, rows, 1, new, model.layer_size))
    return works


def _at_doses(model: WeightlessModel, items: Sequence[Item], doses: int) -> list[Work]:
    """Replies to items of one kind at so many doses, and how likely these are."""
    lengths, new, rows = _prompt_lengths(model, items), longest(items[0].max_new_tokens), model.study.batch_rows
    cells = [length for length in lengths for _ in range(doses)]
    return [
        writing("replies", cells, rows, 1, new, model.layer_size, scaled=True),
        reading("likelihood of replies", [length + new for length in cells], rows, rows, model.layer_size),
    ]


def _compared_at(model: WeightlessModel, items: Sequence[Item], doses: int) -> Work:
    """The log-odds of items of one kind at so many doses."""
    lengths, new = _prompt_lengths(model, items), longest(items[0].max_new_tokens)
    compared = [(i, item) for i, item in enumerate(items) if _is_graded(item)]
    shared = [lengths[i] + (1 if item.shape else new) for i, item in compared for _ in range(doses)]
    endings = model.encoder.tokenize([text for _, item in compared for text in (item.claim or "", item.truth)])
    at_once = max(1, model.study.batch_rows // 2)
    return comparing("log-odds", shared, max(map(len, endings), default=0), at_once, model.layer_size)


def _is_graded(item: Item) -> bool:
    """Are its truth and its claim compared?"""
    return bool(item.truth and item.claim) and item.behaviour not in CAPABILITY


def _text_losses(model: WeightlessModel, study: Study) -> list[Work]:
    """Ordinary text at all doses of the H-Neurons and of some control sets."""
    texts, rows = [text for text, _ in question_set(study).texts(study)], study.batch_rows
    lengths, works = [len(row) for row in model.encoder.encode_texts(texts)], []
    for doses in (len(study.alphas), SCALED * min(N_TEXT_SETS, study.n_control_sets)):
        read = [length for length in lengths for _ in range(doses)]
        works.append(reading("ordinary text", read, rows, rows, model.layer_size))
    return works


def control_doses(study: Study, n_at_most: int = AT_ONCE) -> int:
    """How many doses control sets take on each item where nothing is found: the first sets of either kind."""
    return _KINDS * SCALED * min(AT_ONCE, study.n_control_sets, n_at_most)


def _further_doses(study: Study, behaviour: str) -> int:
    """How many more they take at most where something may be there."""
    most = min(study.n_control_sets, sets_needed(len(CAPABILITY))) if behaviour in CAPABILITY else study.n_control_sets
    return _KINDS * SCALED * most - control_doses(study)


def _prompt_lengths(model: WeightlessModel, items: Sequence[Item]) -> list[int]:
    """Tokens of each item's dialogue, the replies within it as long as they may be."""
    return [len(talk(model, item.turns)) + (len(item.turns) - 1) * longest(item.max_new_tokens) for item in items]


def longest(limit: int) -> int:
    """Tokens that the longest reply of a batch is taken to have."""
    return min(limit, LONGEST) if limit <= _PLAIN else limit


def talk(model: WeightlessModel, turns: Sequence[str]) -> list[int]:
    """A dialogue whose replies are empty so far."""
    messages = chat_about(model.study, turns[0])
    for turn in turns[1:]:
        messages += [{"role": "assistant", "content": ""}, {"role": "user", "content": turn}]
    return model.encoder.encode_chat(messages)


def _all_kept(model: WeightlessModel, collected: Collected) -> bool:
    """Have the neurons that the kept contributions give been scaled before?"""
    try:
        with only_looking():
            dose_response(_for_stages(model), find(collected))
    except (NotKept, ValueError):
        return False
    return True


def total(step: str, works: Sequence[Work]) -> Work:
    return sum(works, Work(step))
