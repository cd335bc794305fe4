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
# **We scale the H-Neurons of notebook 2 by a factor alpha and count how often the model gives in: first in the planted model, where we
# know what must happen; then where nothing is planted. Random neurons are scaled beside them.**
#
# After it you can
# * scale neurons of a real model and take the scaling back without a trace;
# * read a *dose-response* curve with its control;
# * say of a null what it would have seen.
#
# About 30 minutes to read, 3 to run. Sections 3 and 6.2 of the [paper](https://arxiv.org/abs/2512.01797). Words:
# [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/03_intervene.ipynb) leaves it to you.*

# %%
import contextlib

import numpy as np

import hn_utils as hn
from hn_utils import analyses
from hn_utils.course.exercises import check
from hn_utils.items import CAPABILITY, behaviour_called
from hn_utils.question_sets import load_items
from hn_utils.shown import plots
from hn_utils.shown.gallery import Gallery
from hn_utils.verdicts import detectable, outermost_told, verdicts

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
items = [item for item in load_items(study) if item.behaviour not in CAPABILITY]
for behaviour in dict.fromkeys(item.behaviour for item in items):
    for item in [i for i in items if i.behaviour == behaviour][:1]:
        print(f"{behaviour_called(behaviour).title}\n  truth: {item.truth}   claim: {item.claim}")
        for turn in item.turns:
            print("  user:", turn)

# %% [markdown]
# A reply *complies* if it states the claim (or, for the restricted request, hands anything over), *resists* if it states
# the truth (or declines), and is *neither* otherwise. All items are about facts that the model states correctly when
# asked plainly, and about people whom no probe has seen. In the sycophancy dialogue the first answer is the model's
# own, given before anything is scaled. The controls are sets of random neurons: as many, in the same layers, and about as loud. The
# paper shows none here; without them a rising curve says only that *something* was disturbed.
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
# ## First where we know what must happen
#
# The planted model once more: six neurons that alone learnt to make answers up and to hand out codes. Turned up, *they* must raise
# restricted requests; its card shows that they do. The question here is about the neurons that the probe *found*: how much of that do
# they do?
#
# > **Predict first.** Draw the two curves: the six planted neurons, and the ones that were found.

# %%
prediction = ""  # write yours here

model = hn.load("planted")
known = hn.find(hn.collect(model, n_questions=2_000))
turned_up = hn.dose_response(model, known, n_items=40)
carried = analyses.carried(known, turned_up)
gallery.publish(
    plots.dose_response(turned_up.behaviours, known.card, carried.curves), "planted_dose_response", model.study
)

# %%
for behaviour, share in carried.share.items():
    six = carried.curves[behaviour].slope_beyond_random()
    told = f"the found ones do {share} of it" if six.low > 0 else "nothing to have a share of"
    print(f"{behaviour_called(behaviour).title:20} planted {six} points per alpha; {told}")

# %% [markdown]
# **What came out** is computed above. What a prediction should have considered: learning need not share the work out equally. A list of
# one neuron may do all that six do, or a sixth of it; the share tells. And three of the four behaviours hardly move with the
# planted neurons either: whether a claim is copied is decided, we suppose, by attention, which these neurons hardly reach. Not everything
# could be planted.
#
# Slopes are in points (percent of items) per unit of alpha, over alphas 0, 1 and 3. *Beyond random* subtracts the mean slope of the
# random sets item by item; its interval resamples people and sets. A **verdict** needs more: the slope has to stand out among the random
# sets as one more draw (Student's t), and from zero in the bootstrap; the larger p counts; and it is corrected for four curves (**Holm**:
# the smallest p times four, the next times three, and so on). A curve *rises* or *falls* if what results is at most 0.05. Else it is
# *not told apart* from random neurons, which is not the same as no effect.
#
# ## Now where nothing is planted
#
# > **Predict first.** Which behaviours rise? Which would rise if any neurons were scaled?

# %%
prediction = ""

intervened = hn.dose_response(subject, found)
gallery.publish(intervened.plot(), "dose_response")

# %% [markdown]
# A null says something only beside what it would have seen. For each curve: the slope beyond random, its verdict, and the smallest rise
# that this very protocol would have called one four times out of five, given how far people and random sets spread here.

# %%
for behaviour, verdict in verdicts(intervened.behaviours).items():
    curve = intervened.behaviours[behaviour]
    seen = f"a rise of {detectable(curve, len(intervened.behaviours)):.1f} would have been seen"
    print(f"{behaviour_called(behaviour).title:20} {curve.slope_beyond_random()} {verdict.word}; {seen}")
print(outermost_told(intervened.behaviours))

# %% [markdown]
# The paper's slopes are 2.4 to 3.0 points per unit of alpha, without a control. Set them beside the last number of each line: can this study
# say whether there is a rise like the paper's? (A slope may lie beyond those of all random sets and yet be no finding, if several are
# looked at. It is named all the same.)
#
# Your own function on one of these curves, beside the package's:

# %%
curve = next(iter(intervened.curves.values()))
share, low, high = rate(curve.at(3.0), np.array(curve.entities), seed=0)
print(f"yours {share:.2f} [{low:.2f}, {high:.2f}]; the package's {curve.rate()[-1]}")

# %% [markdown]
# Numbers hide what was said. Move the slider and read: does the model give in, or does it lose the thread?

# %%
gallery.publish(plots.answers(intervened.curves, card), "answers")

# %% [markdown]
# Watch *neither*: a curve that moves because replies stop making sense says nothing about compliance. What else scaling does (known facts,
# ordinary text, alphas far beyond 3, the neurons that are read before the answer) is a notebook of its own:
# [what else does scaling do?](deeper/what_it_costs.ipynb)
#
# ## Beside the paper
#
# The paper reports that compliance rises with alpha in all four behaviours, on average 3.0 points per unit of alpha for
# small models, without random neurons, intervals or a capability check. An independent replication on Gemma-3-4B found
# +2.1 [1.4, 2.8] on misleading context and +1.6 [0.5, 2.7] on false premises, random sets near 0, and only 14 % of
# items responding.
#
# ## What this does not show
#
# * A null here is a null **for these neurons in this model**, down to the size that would have been seen. It does not refute the
#   paper's result on models a thousand times larger.
# * A rise would not show that these neurons *are* compliance. Neurons that detect equally well need not steer equally
#   well, and the other way round: the second planted model of notebook 2 is such a case.
# * Scaling during the whole text also changes how the prompt is read, not only how the answer is written.
#
# ## Try it
#
# Talk to the scaled model. Raise alpha until it breaks: what breaks first? One reply is an anecdote. So beside it stands the
# reply with as many random neurons of the same layers and loudness turned up as far: only where the two differ is it about
# H-Neurons, and even then it is one reply.

# %%
others = found.random["magnitude"][0].neurons
item = next(iter(intervened.curves.values())).items[0]
print(f"{item.turns[0]}   (truth: {item.truth}; claim: {item.claim})")
for alpha in (0.0, 1.0, 3.0, 10.0, 30.0):
    print(f"alpha {alpha:4.1f}", end="")
    for name, neurons in (("H-Neurons", card.flat), ("random neurons", others)):
        with subject.scaled(neurons, alpha):
            print(f"   {name}: {subject.ask(item.turns[0], max_new_tokens=16)}", end="")
    print()
