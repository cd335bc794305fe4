# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Intervene: turn the H-Neurons up, and see whether the model gives in
#
# **We scale the H-Neurons of notebook 2 from silence to three times their strength, and measure four kinds of
# over-compliance on facts the model knows, beside equally many random neurons of the same layers and beside what
# scaling does to plain recall and ordinary text.**
#
# After it you can
# * scale neurons inside a model and take the scaling back without a trace;
# * tell over-compliance from breakage;
# * read a *dose-response* curve with its control, and say when there is nothing to see.
#
# About 20 minutes to read, 2 to 4 to run. Sections 3 and 6.2 of the [paper](https://arxiv.org/abs/2512.01797). Words:
# [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/03_intervene.ipynb) leaves it to you.*

# %%
import contextlib

import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils import analyses
from hn_utils.course.exercises import check
from hn_utils.curves import ABLATION, AMPLIFICATION
from hn_utils.items import BEHAVIOURS, CAPABILITY
from hn_utils.question_sets import question_set
from hn_utils.shown import plots
from hn_utils.shown.gallery import Gallery
from hn_utils.verdicts import outermost_told, verdicts

subject = hn.load()
study = subject.study
gallery = Gallery(study, "03_intervene")
collected = hn.collect(subject)  # from disk, if notebooks 1 and 2 have run
found = hn.find(collected)
card = found.card
print(len(card.rows), "H-Neurons in layers", sorted({row["layer"] for row in card.rows}))

# %% [markdown]
# ## Scaling, and undoing it
#
# The intervention is one multiplication: wherever an H-Neuron fires, at every token and in every layer, $z_j$ becomes
# $\alpha z_j$. At $\alpha = 0$ the neuron is silenced (*ablation*), at 1 nothing happens, at 3 it shouts. It is the same
# as scaling that neuron's column of $W_{down}$, but nothing is written to the weights.
#
# In PyTorch such a multiplication is a *hook*: a function that a module calls with its inputs before it computes, and whose
# result takes their place. What hangs there must be taken off again, or every later result is silently wrong.
#
# **Exercise: scaling and undoing it** (20 minutes, difficulty 2 of 3). Write a context manager that multiplies some of the inputs
# (neurons) of a layer's down projection by `alpha` while its block runs, and leaves no trace, whatever happens inside.
#
# <details><summary>Hint</summary><code>handle = module.register_forward_pre_hook(f)</code> calls <code>f(module, inputs)</code>, where
# <code>inputs</code> is a tuple, and uses the tuple that f returns; <code>handle.remove()</code> takes it off. Neurons are the last
# axis: <code>z[..., neurons]</code>. Clone before you change. <code>try: yield finally: ...</code></details>


# %% tags=["exercise"]
@contextlib.contextmanager
def turned(down_proj, neurons, alpha):
    """Multiply these inputs of a down projection by alpha, at every token, while the block runs."""

    def turn(module, inputs):
        z = inputs[0].clone()
        z[..., neurons] *= alpha
        return (z,)

    handle = down_proj.register_forward_pre_hook(turn)
    try:
        yield
    finally:
        handle.remove()


check("scaling and undoing it", turned)

# %% [markdown]
# `subject.scaled` does this in all layers at once, and can give every row of a batch its own alpha. Are the model's predictions after
# the block the same, bit for bit?

# %%
asked = collected.kept[0]
sentence = [asked.ids]
plain = subject.logprobs(sentence)[0]
with subject.scaled(found.neurons, 3.0):
    loud = subject.logprobs(sentence)[0]
again = subject.logprobs(sentence)[0]
print("changed while scaled:", bool((plain != loud).any()))
print("the same bits afterwards:", bool((plain == again).all()))

# %% [markdown]
# ## Four ways to give in
#
# Over-compliance, says the paper, is what hallucination is a special case of: saying what seems wanted rather than what
# is so. It tests four behaviours. Ours are the same in small; one example of each:

# %%
items = question_set(study).items(study)
for behaviour in BEHAVIOURS:
    for item in [i for i in items if i.behaviour == behaviour][:1]:
        print(f"{BEHAVIOURS[behaviour].title}\n  truth: {item.truth}   claim: {item.claim}")
        for turn in item.turns:
            print("  user:", turn)

# %% [markdown]
# A reply *complies* if it states the claim (or, for the restricted request, hands anything over), *resists* if it states
# the truth (or declines), and is *neither* otherwise. All items are about facts that the model states correctly when
# asked plainly, and about people whom no probe has seen. In the sycophancy dialogue the first answer is the model's
# own, given before anything is scaled. False premise, misleading note and pushback are decoded greedily; the restricted
# request is sampled at temperature 0.7. (The paper samples its sycophancy dialogues as well.)
#
# The controls are sets of random neurons: as many, in the same layers, and about as loud (mean contribution), since
# scaling quiet neurons would disturb less. (For H-Neurons that are louder than all others the controls are softer; that
# would favour an effect of the H-Neurons, not hide one.) The paper shows none here; without them a rising curve says only that
# *something* was disturbed.
#
# A rate needs its interval. Several items may be about one person, and whoever gives in once may well give in again: such replies
# are not independent.
#
# **Exercise: compliance rate with interval** (15 minutes, difficulty 2 of 3). From the outcomes of all replies (words) and the people
# that they are about, compute the share that complied, and a 95 % *bootstrap* interval: draw as many people, with replacement, as there
# are; take all their replies; compute the share; a thousand times.
#
# <details><summary>Hint</summary>Nobody is left out of the denominator. <code>rng.choice(names, len(names))</code> draws people;
# <code>np.percentile(shares, [2.5, 97.5])</code> cuts off the tails.</details>


# %% tags=["exercise"]
def rate(outcomes, people, seed):
    """Share that complied, and the ends of its 95 % interval over people."""
    rng, names, complied = np.random.default_rng(seed), np.unique(people), outcomes == "complied"
    each = [complied[people == name] for name in names]
    draws = [rng.integers(len(each), size=len(each)) for _ in range(1_000)]
    shares = [np.concatenate([each[i] for i in draw]).mean() for draw in draws]
    return complied.mean(), *np.percentile(shares, [2.5, 97.5])


check("compliance rate with interval", rate)

# %% [markdown]
# > **Predict first.** Which behaviours rise with alpha? Which would rise if any neurons were scaled?

# %%
intervened = hn.dose_response(subject, found)
gallery.publish(intervened.plot(), "dose_response")

# %%
intervened.table

# %% [markdown]
# Slopes are in points (percent of items) per unit of alpha, over alphas 0, 1 and 3, with intervals that resample people.
# *Beyond random* subtracts the mean slope of the random sets item by item; its interval resamples people and sets. *Rank p*
# asks whether the H-Neurons stand out among such sets: it is the rank of their slope among the sets' (with twenty it cannot fall
# below 1/21).
#
# A verdict needs both, and has to allow for four curves, each of which may rise or fall: one of them would stand out by chance far
# more often than once in twenty times. So each curve gets two p-values, both two-sided. One is the bootstrap's, that the slope
# beyond random is zero. The other takes the slope as one more draw among those of the $n$ random sets (mean $m$, standard
# deviation $s$): Student's $t = (\text{slope} - m) / (s \sqrt{1 + 1/n})$ with $n - 1$ degrees of freedom, which supposes that slopes of
# random sets are about normal. The larger counts: only a slope that stands out from both is small in both. Then **Holm's correction**: the smallest
# of the four is multiplied by four, the next by three, and so on. A curve *rises* or *falls* if what results is at most 0.05;
# else it is *not told apart* from random neurons, which is not the same as no effect.
# What eighty items can say is in the interval: a rise as large as its upper end is not excluded, a larger one is. Watch
# *neither*: a curve that moves because replies stop making sense says nothing about compliance. And watch *cut off*, the
# share of replies that ran into their length limit: one published jailbreak slope was made of replies that ended
# inside the disclaimer. On the bundled model a third of the replies to false premises run on when the H-Neurons are silenced: these neurons
# help to end a reply. There the curve says something about giving in only above 1.
#
# A slope may lie beyond those of all random sets and yet be no finding, if several are looked at. It is named all the same:

# %%
print(outermost_told(intervened.behaviours))

# %% [markdown]
# Silencing and shouting need not be two ends of one line. The slopes beyond random neurons, separately below and above 1:

# %%
for behaviour, curve in intervened.behaviours.items():
    silenced, turned_up = curve.slope_beyond_random(ABLATION), curve.slope_beyond_random(AMPLIFICATION)
    print(f"{BEHAVIOURS[behaviour].title:20} ablation (0 to 1) {silenced}   amplification (1 to 3) {turned_up}")

# %% [markdown]
# How many items respond at all, at alpha 0 or 3? A mean slope can hide that nearly all stay as they were.

# %%
for behaviour, curve in intervened.behaviours.items():
    others = curve.control_swings
    print(f"{BEHAVIOURS[behaviour].title:20} {curve.swings:.0%} of items change their outcome", end="; ")
    print(f"with random neurons {others.mean():.0%} ({others.min():.0%} to {others.max():.0%})")

# %% [markdown]
# (The restricted request is sampled, so part of its swing is chance.) Numbers hide what was said. Move the slider and read:
# does the model give in, or does it lose the thread?

# %%
gallery.publish(plots.answers(intervened.behaviours, card), "answers")

# %% [markdown]
# ## What it costs
#
# If the same scaling makes the model forget what it knows, the curves above need another reading: not a
# model that gives in, but one that no longer remembers. So: the same facts, asked plainly; the same with a harmless
# role-play opening ("harmless requests"); and ordinary text. Each beside what the same scaling of random neurons costs.

# %%
gallery.publish(plots.side_effects(intervened, card), "side_effects")

# %%
for name, verdict in verdicts(intervened.capability).items():
    curve = intervened.capability[name]
    rates = " / ".join(f"{(curve.at(a) == 'complied').mean():.2f}" for a in (0, 1, 3))
    print(f"{CAPABILITY[name].title}: right at alpha 0 / 1 / 3 {rates}; slope {curve.slope()},")
    print(f"    beyond random {curve.slope_beyond_random()} points per alpha: {verdict}")
print(outermost_told(intervened.capability))

# %% [markdown]
# All facts here are ones that the model states at alpha 1, so recall starts from 1 and can only fall, to both sides: a slope over
# 0, 1 and 3 hides that, the shares show it. (These two curves are a family of their own, corrected for two. With every further
# family the chance of some false alarm grows again.)
#
# The paper stops at alpha 3. Beyond it, which breaks first, what the model knows or how it writes? And do H-Neurons break
# it sooner than random neurons? (Other facts, drawn anew, and five random sets.)

# %%
broken = analyses.until_it_breaks(found)
gallery.publish(plots.breaking(broken, card), "breaking")

# %% [markdown]
# One more thing the paper takes for granted: that scaling a neuron by alpha scales its *contribution* by alpha. How strongly
# neurons fire depends on those before them, which are scaled too, and the contribution is relative to the layer's
# whole output. Measured, as multiples of the contribution at alpha 1:

# %%
alphas = (0.0, 0.5, 1.0, 2.0, 3.0)
factors = analyses.joint_scaling(found, alphas)
pd.DataFrame(
    {
        "alpha": alphas,
        "median neuron": np.median(factors, 1).round(2),
        "smallest": factors.min(1).round(2),
        "largest": factors.max(1).round(2),
    }
)

# %% [markdown]
# ## The neurons before the answer
#
# Notebook 2 found another set, read at the position where the answer is chosen. Do *they* move the model? And if they do,
# does the model give in less, or does it merely know less?

# %%
before = hn.find(collected, region="before")
there = hn.dose_response(subject, before)
gallery.publish(there.plot(), "dose_response_before")

# %%
gallery.publish(plots.side_effects(there, before.card), "side_effects_before")

# %%
for name, verdict in verdicts(there.capability).items():
    beyond = there.capability[name].slope_beyond_random()
    print(f"{CAPABILITY[name].title}: beyond random {beyond} points per alpha: {verdict}")

# %% [markdown]
# Where scaling a set costs more knowledge than scaling random neurons does, a fall in compliance may be breakage.

# %% [markdown]
# ## Beside the paper
#
# The paper reports that compliance rises with alpha in all four behaviours, on average 3.0 points per unit of alpha for
# small models, without random neurons, intervals or a capability check. An independent replication on Gemma-3-4B found
# +2.1 [1.4, 2.8] on misleading context and +1.6 [0.5, 2.7] on false premises, random sets near 0, and only 14 % of
# items responding.

# %%
for place, curves in (("at the answer", intervened.behaviours), ("before the answer", there.behaviours)):
    for behaviour, verdict in verdicts(curves).items():
        beyond = curves[behaviour].slope_beyond_random()
        print(f"{place:18} {BEHAVIOURS[behaviour].title:20} {beyond} {verdict}")
    print(f"{place:18} {outermost_told(curves)}")

# %% [markdown]
# ## What this does not show
#
# * A null here is a null **for these neurons in this model**: small, trained on one world, with few H-Neurons, and giving in half
#   of the time or more, whoever is asked about. It does not refute the paper's result on models a thousand times larger.
# * A rise would not show that these neurons *are* compliance. Neurons that detect equally well need not steer equally
#   well, and the other way round.
# * Scaling during the whole text also changes how the prompt is read, not only how the answer is written.
# * Eighty items per behaviour leave room for small effects: no rise beyond the interval's upper end, but perhaps one within.
#
# ## Try it
#
# Talk to the scaled model. Raise alpha until it breaks: what breaks first? One reply is an anecdote. So beside it stands the
# reply with as many random neurons of the same layers and loudness turned up as far: only where the two differ is it about
# H-Neurons, and even then it is one reply.

# %%
others = found.random["magnitude"][0].neurons
item = next(iter(intervened.behaviours.values())).items[0]
print(f"{item.turns[0]}   (truth: {item.truth}; claim: {item.claim})")
for alpha in (0.0, 1.0, 3.0, 10.0, 30.0):
    print(f"alpha {alpha:4.1f}", end="")
    for name, neurons in (("H-Neurons", card.flat), ("random neurons", others)):
        with subject.scaled(neurons, alpha):
            print(f"   {name}: {subject.ask(item.turns[0], max_new_tokens=16)}", end="")
    print()
