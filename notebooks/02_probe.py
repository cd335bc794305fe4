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
# # 2 · Probe: do a handful of neurons tell made-up answers from true ones?
#
# **A sparse linear probe on the contributions of notebook 1 picks a few neurons. First in a model in which we planted the neurons
# that make answers up, so that we see what the method finds; then in one where nothing is planted. Beside every number stand random
# neurons, shuffled labels and the model's own confidence.**
#
# After it you can
# * build the paper's *3-vs-1* training rows and say why the "1" is there;
# * read an L1 path, and choose C by a rule;
# * say what such a method finds of what is there, and judge a detection claim by its controls.
#
# About 30 minutes to read, 3 to run. Sections 2 and 6.1 of the [paper](https://arxiv.org/abs/2512.01797). Words:
# [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/02_probe.ipynb) leaves it to you.*

# %%
import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils import analyses
from hn_utils.controls import auroc
from hn_utils.course.exercises import check, stratified
from hn_utils.organism import strengths
from hn_utils.probe import three_vs_one
from hn_utils.shown import plots
from hn_utils.shown.gallery import Gallery

gallery = Gallery(hn.load_study(), "02_probe")

# %% [markdown]
# ## The 3-vs-1 rows
#
# A neuron that fires on every answer, true or false, is no hallucination neuron; nor is one that fires on every false
# sentence's *template*. So the paper trains the probe to pick out one kind of row among four:
#
# | row | read at | label |
# |---|---|---|
# | hallucinated answer | its answer tokens | **1** |
# | true answer | its answer tokens | 0 |
# | hallucinated answer | all its other tokens | 0 |
# | true answer | all its other tokens | 0 |
#
# **Exercise: 3-vs-1 rows** (10 minutes, difficulty 1 of 3). Given each answer's mean contributions at its answer tokens and at its
# other tokens, both `[example, neuron]`, and `made_up` (1 or 0 an example), build the rows and their labels.
#
# <details><summary>Hint</summary><code>np.concatenate</code> puts one array under the other. How many rows come from four
# hundred answers, and how many of them are positive if half are made up?</details>


# %% tags=["exercise"]
def rows_and_labels(at_answer, elsewhere, made_up):
    """Rows [row, neuron] and a label for each."""
    rows = np.concatenate([at_answer, elsewhere])
    return rows, np.concatenate([made_up, np.zeros(len(elsewhere))])


check("3-vs-1 rows", rows_and_labels)

# %% [markdown]
# ## The path
#
# *Logistic regression* gives every neuron a weight $w_j$, adds up weight times contribution, and turns the sum into a
# probability. With thousands of neurons and a few hundred questions it could fit anything. The *L1 penalty* charges for
# weight, so that most weights are exactly zero:
#
# $$\min_{w, b}\; \sum_j |w_j| + |b| + C \sum_i \log\bigl(1 + e^{-y_i (w \cdot x_i + b)}\bigr).$$
#
# Here $y_i$ is 1 for a row with label 1 and $-1$ for one with label 0. $C$ is the price of an error. At small $C$ nothing is worth a
# weight; as it grows, neurons enter one after another. The whole curve of solutions is the *path*. Each solution carries a
# **certificate** that it is the optimum ([worked out by hand](certificate.md) on four answers and two neurons).
#
# $C$ decides everything (a replication on Gemma-3-4B found 8, 38 or 219 neurons for C = 0.1, 1 or 3). So it must be chosen by a rule,
# on data that the test never sees. Ours: the sparsest probe whose *AUROC* on validation people is within *one standard error* of the
# best. AUROC is the chance that a random hallucinated answer scores higher than a random true one: 0.5 is guessing, 1 is perfect.
# A neuron with a positive weight is an **H-Neuron**.
#
# **Exercise: reading the path** (10 minutes, difficulty 2 of 3). Given the validation AUROCs along the path, from the sparsest probe
# to the densest, and the standard error of the best one, return the place of the probe that the rule takes.
#
# <details><summary>Hint</summary>First the best, then a bar one standard error below it. Which probes clear the bar, and which
# of them has the fewest neurons?</details>


# %% tags=["exercise"]
def choose(aurocs, standard_error):
    """Place, counted from 0, of the sparsest probe within one standard error of the best."""
    bar = max(aurocs) - standard_error
    return next(place for place, value in enumerate(aurocs) if value >= bar)


check("reading the path", choose)

# %% [markdown]
# ## First where the truth is known
#
# How would we know that such a method works? We need a model in which we know the answer. So we made one. From the bundled
# model's tuning we went on with **gradient routing** (Cloud et al. 2024): six neurons, drawn at random, were the only ones that
# were allowed to learn to make answers up and to hand out restricted codes, and they were pressed to stay quiet where the model
# knows. All others learned, with these six silenced, to say "I do not know." and to refuse. **This model is planted**, and says so
# on every figure. Its [card](../data/planted/README.md) shows, before any probe, that the six do what they were made for.
#
# The probe is told nothing of this: the same code, the same rule, the same questions.
#
# > **Predict first.** How many of the six will be found? How many others?

# %%
prediction = ""  # write yours here

planted = hn.find(hn.collect(hn.load("planted"), n_questions=2_000))  # of each part
recovered = analyses.recover(planted)
gallery.publish(plots.recovery(planted, recovered), "planted_recovery", planted.study)

# %%
print(recovered)
print(planted.headline)

# %% [markdown]
# **What came out** is in the lines above, computed. What a prediction should have considered: L1 pays for every neuron. Neurons that
# fire together are, to the probe, one piece of evidence; it takes the clearest and leaves the rest. So a short list can be *right*
# (what is on it is planted) without being *complete*. Precision and recall are two questions. Whether what is missing matters is
# a third, for notebook 3.
#
# Now the plant is weakened: a smaller share of the examples of giving in is routed to the six, and all others learn from the rest. And
# one model is planted otherwise: its six neurons say "answer anyway", whoever is asked about. They cause, and do not detect.

# %%
gallery.publish(plots.strengths(strengths.shipped()), "planted_strengths", planted.study)

# %%
pd.concat([strengths.shipped(), strengths.shipped("general")], keys=["detective", "general"]).droplevel(1)

# %% [markdown]
# Read the last row twice. Six neurons make that model answer and hand out codes (notebook 3 turns them), yet their
# contributions say nothing about what is made up, and the probe finds others, which do. **A detector need not be a cause, and a cause
# need not be a detector.** What is found is found *by detection*.
#
# ## Now where nothing is planted
#
# The bundled model, or the one that HN_STUDY names. Nothing in its training speaks of neurons.
#
# > **Predict first.** How many neurons will the rule keep? Will they beat random ones by as much as in the planted model?

# %%
prediction = ""

collected = hn.collect(hn.load())  # from disk, if notebook 1 has run
found = hn.find(collected)
card = found.card
card.save(gallery.folder / "h_neurons.json")
gallery.publish(plots.l1_path(found.probe), "path_over_C")

# %% [markdown]
# Your rows from the first exercise are the package's, to the last digit. All training answers, every hundredth neuron:

# %%
train, some = collected.training_rows(), np.arange(0, collected.contributions.n_layers * card.d_mlp, 100)
read, made_up = collected.contributions[train], collected.labels[train]
X, y = three_vs_one(read, made_up)
rows, labels = rows_and_labels(*(read.at(region).columns(some) for region in ("answer", "other")), made_up)
print("the same rows:", bool((rows == X.columns(some)).all()), "- the same labels:", bool((labels == y).all()))

# %% [markdown]
# ## Detection, beside its controls
#
# How much would *any* dozen neurons detect? That is the first question to put to a claim about some.
#
# **Exercise: a fair random baseline** (15 minutes, difficulty 2 of 3). Draw a control for a set of H-Neurons. A neuron's flat number is
# layer times `d_mlp` plus its place in the layer. What must the control have in common with the set, and what not?
#
# <details><summary>Hint</summary>As many, in the same layers, none twice, none of the H-Neurons themselves; and another seed gives
# another set. <code>rng.choice(these, k, replace=False)</code> draws k of these.</details>


# %% tags=["exercise"]
def random_set(h_neurons, d_mlp, seed):
    """As many random neurons (flat) of the same layers."""
    rng, drawn = np.random.default_rng(seed), []
    for layer, k in zip(*np.unique(h_neurons // d_mlp, return_counts=True), strict=True):
        free = np.setdiff1d(np.arange(layer * d_mlp, (layer + 1) * d_mlp), h_neurons)
        drawn.append(rng.choice(free, k, replace=False))
    return np.concatenate(drawn)


check("a fair random baseline", random_set)

# %% [markdown]
# Now the test people are read, for the first time. The H-Neurons alone are refitted, with next to no penalty, and so is every
# control: a hundred random sets of as many neurons, from the same layers and about as loud (the same mean contribution). Beside them
# stand the probe trained on *shuffled* labels; a *dense* probe, with a weight on every neuron, and one on the residual stream; and no
# neurons at all, just **how confident the model was** (the log-probability of its answer). The paper stops at random neurons.
#
# > **Predict first.** In which order will these six stand?

# %%
compared = analyses.compare(found)
gallery.publish(plots.detection(found, compared.main), "detection")

# %%
print(found.headline)
drawn = random_set(card.flat, card.d_mlp, seed=0)  # your own control, read like the others
print("your random set:", found.auroc_of(drawn))

# %% [markdown]
# Three things deserve a second look. **Random neurons are not at 0.5**: true and made-up answers differ in something that many
# neurons see. The distance from them is the finding, not the distance from one half. **Shuffled labels** come out near 0.5, yet their
# probe has neurons, too: three quarters of the rows teach where answers stand, so to have a list of neurons proves nothing. And
# **confidence**: the consistency filter keeps answers that are always right or always wrong, and an always right answer is nearly
# always one given with high probability. A claim that H-Neurons are *needed* would have to beat that line; the paper does not draw it.
#
# A variable that differs between true and made-up answers *and* moves the score is a **confound**: the detector may see nothing
# else. The remedy is to compare like with like.
#
# **Exercise: spot the confound** (15 minutes, difficulty 3 of 3). `suspect = stratified()` holds four thousand simulated answers, half of
# them true: `labels`, a detector's `score`, and three suspects: `length`, `topic`, `time of day`. The score alone reaches an AUROC of 0.74.
# Write the AUROC among pairs of the same stratum; let `confound` be the name of the suspect that explains the detector
# away.
#
# <details><summary>Hint</summary>Within a stratum <code>auroc(labels[own], score[own])</code> counts pairs of one true and one
# made-up answer. A stratum with more pairs weighs more. If a suspect is to blame, what is left within its strata?</details>

# %% tags=["exercise"]
suspect = stratified()


def auroc_within(labels, score, stratum):
    """AUROC among pairs of one true and one made-up answer of the same stratum."""
    areas, pairs = [], []
    for own in (stratum == value for value in np.unique(stratum)):
        areas.append(auroc(labels[own], score[own]))
        pairs.append((labels[own] == 1).sum() * (labels[own] == 0).sum())
    return np.average(areas, weights=pairs)


left = {name: auroc_within(suspect["labels"], suspect["score"], suspect[name]) for name in list(suspect)[2:]}
confound = min(left, key=lambda name: abs(left[name] - 0.5))
check("spot the confound", (auroc_within, confound))

# %% [markdown]
# Back to the H-Neurons, and to confidence. Among true and made-up answers that were given with the *same* confidence (nobody is in
# two pairs), do they score the made-up one higher more often than not, and more often than random neurons do?

# %%
added = compared.added
told = f"{added.matched}; random neurons {added.matched_random:.2f}" if added.matched else "too few to say"
print(f"{added.n_pairs} pairs of equal confidence: {told}")

# %% [markdown]
# ## Everyday answers
#
# Nobody who uses a detector has ten samples that all agree. So take one sampled answer to each question as it comes, and leave out
# only refusals. The probes stay as they are; the people are again the test people. Now confidence has no help from the filter.
#
# > **Predict first.** Will confidence do worse? Will the H-Neurons?

# %%
day = analyses.everyday(found)
day and gallery.publish(plots.everyday(day), "everyday")

# %% [markdown]
# ## Beside the paper
#
# | the paper says | here |
# |---|---|
# | under 0.1 % of neurons suffice | the count above, of a few thousand neurons in all; the dense probes say what *suffices* |
# | they beat as many random neurons (on TriviaQA by 14 to 20 points of accuracy) | the first two rows of the figure |
# | they carry over to other questions and to fabricated entities | [what else could it be](deeper/what_else.ipynb): every detector on every test set |
#
# Two notebooks go deeper, when the question is yours: [would the same neurons be found again?](deeper/found_again.ipynb) and [what else
# could it be, and where is it known?](deeper/what_else.ipynb) Notebook 4 ends with a page of verdicts.
#
# ## What this does not show
#
# * **Detection is not cause**, as the second planted model shows. Notebook 3 turns the neurons.
# * **They are not *the* hallucination neurons.** Even where it is known which neurons are the cause, the list need not hold all.
# * Nor are they "millions of neurons", nor, as far as anyone has reported, "concentrated in the upper-middle layers":
#   both have been said of the paper, which says neither.
# * The planted model was made so that the method can succeed. That it finds what was planted does not say that anything of the kind
#   is in a model where nothing was.
#
# ## Try it
#
# The path, C by C: move the slider and watch neurons enter, grow and leave.

# %%
gallery.publish(plots.l1_path_weights(found.probe, found.card.d_mlp), "path_weights")
