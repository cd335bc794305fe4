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
# **The claim: a sparse linear probe on the contributions of notebook 1 picks a few neurons that detect made-up answers. First in a model
# in which we planted neurons that make answers up; then as the plant fades; then where nothing is planted. Beside every number stand
# what the same procedure picks when right and wrong are shuffled, random neurons that are as loud, and the model's own confidence.**
#
# After it you can
# * build the paper's *3-vs-1* rows, fit an L1 probe, prove that the fit is the optimum, choose C by a rule;
# * say what such a method finds of what is there, and judge a detection claim by its controls.
#
# About 30 minutes to read, 1 to run, 45 for the exercises. Sections 2 and 6.1 of the [paper](https://arxiv.org/abs/2512.01797).
# Words: [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/02_probe.ipynb) leaves it to you.*

# %%
import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils import analyses
from hn_utils.course.exercises import check, debrief, yours
from hn_utils.organism import strengths
from hn_utils.probing.find import UNSEEN
from hn_utils.probing.l1_path import kkt_violation, loss_gradient
from hn_utils.probing.probe import three_vs_one
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery
from hn_utils.stats.metrics import auroc

gallery = Gallery(hn.load_study(), "02_probe")

# %% [markdown]
# ## The 3-vs-1 rows
#
# A neuron that fires on every answer, true or false, is no hallucination neuron. So the paper trains the probe to pick out one kind of
# row among four: made-up answers at their answer tokens get a **1**; true answers at theirs, and the other tokens of both, a 0.
#
# **Exercise: 3-vs-1 rows** (5 minutes, difficulty 1 of 3). Given each answer's mean contributions at its answer tokens and at its
# other tokens, both `[example, neuron]`, and `made_up` (1 or 0 an example), build the rows and their labels.
#
# <details><summary>Hint</summary><code>np.concatenate</code> puts one array under the other.</details>


# %% tags=["exercise"]
def rows_and_labels(at_answer, elsewhere, made_up):
    """Rows [row, neuron] and a label for each."""
    rows = np.concatenate([at_answer, elsewhere])
    return rows, np.concatenate([made_up, np.zeros(len(elsewhere))])


check("3-vs-1 rows", rows_and_labels)

# %% [markdown]
# ## An L1 fit
#
# *Logistic regression* gives every neuron a weight $w_j$, adds up weight times contribution, and turns the sum $s_i = w \cdot x_i$ into a
# probability. The *L1 penalty* charges for weight, so that most weights are exactly zero:
#
# $$\min_{w}\; \sum_j |w_j| + C \sum_i \log\bigl(1 + e^{-y_i s_i}\bigr), \qquad y_i = \pm 1.$$
#
# (A first column of ones carries the intercept, which is charged as well.) $C$ is the price of an error. The slope of the
# loss at weight $j$ is $-C g_j$, with $g_j = \sum_i x_{ij}\, y_i / (1 + e^{y_i s_i})$; the slope of the penalty is 1. So a fit is the optimum exactly if
# $C g_j = \mathrm{sign}(w_j)$ wherever there is a weight and $|C g_j| \le 1$ wherever there is none. That is its **certificate**
# ([by hand](certificate.md)).
#
# **Exercise: an L1 fit** (20 minutes, difficulty 3 of 3). Repeat two moves: a step down the loss, `w + step * C * g`; then bring every
# weight nearer to 0 by `step`, and stop at 0. The check tests the certificate.
#
# <details><summary>Hint</summary>A step of <code>4 / (C * np.linalg.norm(X, 2) ** 2)</code> never overshoots.
# The second move is <code>np.sign(w) * np.maximum(np.abs(w) - step, 0)</code>. The real rows need more steps; the solution uses
# momentum (FISTA).</details>


# %% tags=["exercise"]
def l1_fit(X, y, C):
    """The weights [column] that minimise sum |w| + C sum log(1 + exp(-y s)), s = X w; y is 1 or -1."""
    w = ahead = np.zeros(X.shape[1])
    step = 4 / (C * np.linalg.norm(X, 2) ** 2)
    for k in range(20_000):
        moved = ahead + step * C * (X.T @ (y / (1 + np.exp(y * (X @ ahead)))))
        moved = np.sign(moved) * np.maximum(np.abs(moved) - step, 0)
        ahead, w = moved + k / (k + 3) * (moved - w), moved  # momentum
    return w


check("an L1 fit", l1_fit)

# %% [markdown]
# ## Choosing C
#
# As $C$ grows, neurons enter one after another: the *path*. A replication on Gemma-3-4B found 8, 38 or 219 neurons for C = 0.1, 1 or 3. So
# $C$ must be chosen by a rule, on data that the test never sees. Ours: the sparsest probe whose *AUROC* on validation people is within *one
# standard error* of the best. AUROC is the chance that a random made-up answer scores higher than a random true one: 0.5 is guessing, 1 is
# perfect. A neuron with a positive weight is an **H-Neuron**.
#
# **Exercise: reading the path** (5 minutes, difficulty 1 of 3). Given the validation AUROCs, from the sparsest probe to the
# densest, and the standard error of the best one, return the place of the probe that the rule takes.
#
# <details><summary>Hint</summary>First the best, then a bar one standard error below it.</details>


# %% tags=["exercise"]
def choose(aurocs, standard_error):
    """Place, counted from 0, of the sparsest probe within one standard error of the best."""
    bar = max(aurocs) - standard_error
    return next(place for place, value in enumerate(aurocs) if value >= bar)


check("reading the path", choose)

# %% [markdown]
# ## First where the truth is known
#
# In this model six neurons, drawn at random, were by **gradient routing** (Cloud et al. 2024)
# the only ones that were allowed to learn to make answers up and to hand out restricted codes. **This model is planted.** Its [card](../data/planted/README.md) shows, before any probe, what the six do. The probe is told nothing of it.
#
# > **Predict first.** How many of the six will be found? How many others?

# %%
prediction = ""  # write yours here

planted = hn.find(hn.collect(hn.load("planted"), n_questions=2_000))  # of each part
recovered = analyses.recover(planted)
gallery.publish(plots.recovery(planted, recovered), "planted_recovery", planted.study)

# %%
print(debrief(prediction, recovered))
print(planted.headline)

# %% [markdown]
# What a prediction should have considered: L1 pays for every neuron. Where several say the same, one will do. So a short list can be *right* (high *precision*) without being *complete* (high *recall*).
#
# **And did the labels lead there?** Shuffle right and wrong among the training answers, and let the same procedure pick as many neurons.
# That is the *selected null*: it has been through the same selection. A *rank p* counts the sets that lie at least as far out on the
# same side, adds the H-Neurons as one more, divides by the number of sets plus one, and doubles: with a hundred sets it cannot fall below
# 2/101 = 0.02. In three forms, a hundred shuffles each:

# %%
one_vs_one = hn.find(planted.collected, other=None)
for name, one, form in (
    ("3-vs-1, any neuron", planted, "any"),
    ("3-vs-1, H-Neurons left out", planted, "others"),
    ("1-vs-1, any neuron", one_vs_one, "any"),
):
    picks = [fit.neurons.tolist() for fit in one.selected[form]]
    same = sum(pick == sorted(one.neurons.tolist()) for pick in picks)
    print(
        f"{name}: {len({tuple(pick) for pick in picks})} different sets, {same} of {len(picks)} the H-Neurons themselves;"
    )
    print(f"    H-Neurons {one.beyond[form]} of AUROC beyond the picks, rank p = {one.p[form]:.3f}")

# %% [markdown]
# In the 3-vs-1 form half of the rows are other tokens, so most of what the probe learns is where an answer stands. A neuron that fires at answers and nowhere else is picked *whatever the
# labels say*. So here the first line says 0: to have found this neuron is no evidence that it knows what is false, although it does. The
# second line leaves the H-Neurons out of what may be picked: it says whether they detect more than whatever else the procedure would have
# taken (but look how many different sets there are among the hundred: of few, the p says little). *1-vs-1* trains on answers alone, so that only
# labels can lead anywhere; but a neuron whose contributions vary as much as this one's is taken by chance as well. Each form answers one
# question; none answers all.
#
# **Exercise: find the planted neurons** (15 minutes, difficulty 2 of 3). From contributions `[answer, neuron]` name the `k` neurons whose
# contribution, each alone, tells made-up from true best (by `auroc(labels, scores)`). Return them, their precision and their recall.
#
# <details><summary>Hint</summary><code>X.T</code> holds a row a neuron. Precision is a share of the named, recall a share of the
# planted.</details>


# %% tags=["exercise"]
def hunt(X, made_up, planted, k):
    """The k neurons that alone tell best; which share of them is planted; which share of the planted is among them."""
    alone = [auroc(made_up, column) for column in X.T]
    named = np.argsort(alone)[-k:]
    hits = np.isin(named, planted).sum()
    return named, hits / k, hits / len(planted)


check("find the planted neurons", hunt)

# %%
answers = planted.collected
train, everyone = answers.training_rows(), np.arange(answers.contributions.at("answer").shape[1])
X, made_up = answers.contributions[train].at("answer").columns(everyone), answers.labels[train]
mine = yours("find the planted neurons", hunt)
for k in (6, 20):
    _, precision, recall = mine(X, made_up, recovered.planted, k)
    print(f"the best {k}, each alone: precision {precision:.2f}, recall {recall:.2f}")
print(f"the probe: precision {recovered.precision:.2f}, recall {recovered.recall:.2f}")

# %% [markdown]
# ## Then weaker
#
# So far the six learnt from all examples of making things up, and were pressed to stay quiet where the model knows (*detective*). Now a
# smaller share is routed to them; all other neurons learn from the rest. In one more model (*general*) the six make it answer, whoever is
# asked about. `slope`: by how many points per unit of alpha more restricted codes are handed out as neurons are turned up (notebook 3).

# %%
gallery.publish(plots.strengths(strengths.shipped()), "planted_strengths", planted.study)

# %%
pd.concat([strengths.shipped(), strengths.shipped("general")], keys=["detective", "general"]).droplevel(1)

# %% [markdown]
# Last row: the six make that model hand out codes, yet do not differ between made-up and true answers, and none is found. **A cause need
# not be a detector.** (The table is from all questions, the lines above from 2,000 of each part.)
#
# ## Now where nothing is planted
#
# The bundled model, or the one that HN_STUDY names.
#
# > **Predict first.** How many neurons will the rule keep?

# %%
prediction = ""

collected = hn.collect(hn.load())  # from disk, if notebook 1 has run
found = hn.find(collected)
card, probe = found.card, found.probe
card.save(gallery.folder / "h_neurons.json")
print(debrief(prediction, f"{card.headline}; {probe.reason}"))
gallery.publish(plots.l1_path(probe), "path_over_C")

# %% [markdown]
# Your functions on the real rows, for the neurons that the probe weighs and some others.

# %%
some = np.union1d(probe.fit.neurons, np.linspace(0, card.n_layers * card.d_mlp - 1, 20).astype(int))
train = collected.training_rows()
read, made_up = collected.contributions[train], collected.labels[train]
at_answer, elsewhere = (read.at(region).columns(some) for region in ("answer", "other"))
rows, labels = yours("3-vs-1 rows", rows_and_labels)(at_answer, elsewhere, made_up)
X, y = three_vs_one(read, made_up)
print("the package's rows:", bool((rows == X.columns(some)).all()), "- its labels:", bool((labels == y).all()))

# %%
ones, signs = np.column_stack([np.ones(len(rows)), rows]), 2 * labels - 1
w = yours("an L1 fit", l1_fit)(ones, signs, probe.fit.C)
theirs = np.zeros(len(w))
theirs[0], theirs[1 + np.searchsorted(some, probe.fit.neurons)] = probe.fit.intercept, probe.fit.weights
violation = kkt_violation(ones.T @ loss_gradient(signs, ones @ w), w, probe.fit.C).max()
print(f"{np.count_nonzero(w)} weights, certificate off by {violation:.1e}; the package {np.count_nonzero(theirs)}")
print(f"largest difference {np.abs(w - theirs).max():.1e}, of weights up to {np.abs(theirs).max():.2f}")

# %%
able = [place for place, fit in enumerate(probe.path) if len(fit.h_neurons)]  # the path begins without any neuron
aurocs = [probe.validation[place].value for place in able]
best = probe.validation[able[int(np.argmax(aurocs))]]
place = able[yours("reading the path", choose)(aurocs, (best.high - best.low) / (2 * 1.96))]
print(f"you choose C = {probe.path[place].C:.4g}, the package C = {probe.fit.C:.4g}")

# %% [markdown]
# ## Detection, beside its controls
#
# The test people are read, for the first time. The H-Neurons alone are refitted with next to no penalty, since L1 shrinks
# weights. Beside them, in this order:
#
# * **what shuffled labels pick**, as many neurons, refitted alike: did the labels lead to these neurons?
# * random neurons of the same layers that are **as loud together** (in summed mean contribution; so there are more of them): is it loudness?
#   The paper has random neurons, too, but only as many: these are far quieter than H-Neurons;
# * the *words* of the answer, without any neuron: which answer was given tells something by itself;
# * two *dense* probes, on all neurons and on the residual stream;
# * **how confident the model was**: the log-probability of its answer.
#
# Which of them is the hardest control is for the numbers to say: it is the one that comes nearest.
#
# > **Predict first.** In which order will these seven stand? Will the H-Neurons beat what shuffled labels pick?

# %%
prediction = ""

compared = analyses.compare(found)
gallery.publish(plots.detection(found, compared.main), "detection")

# %%
print(debrief(prediction, found.headline))
print(compared.added)
for title in (*list(collected.parts.values())[1:], UNSEEN):
    read = {d.name: d.auroc for d in found.detections if d.test_set == title}
    names = (hn.Detector.H_NEURONS, hn.Detector.SELECTED, hn.Detector.RANDOM_LOUD)
    print(f"{title}:", "; ".join(f"{name} {read[name].value:.2f}" for name in names) if read else "too few answers")

# %% [markdown]
# What a prediction should have considered:
#
# * *Picks on shuffled labels* need not stand at 0.5: refitted on the true labels, many neurons tell a little. The distance from them is the
#   finding. Its bracket resamples people and sets.
# * *As loud together*: L1 on raw contributions picks neurons that are louder than nearly all others. A control that is quieter is no control.
# * *Confidence*: an answer that is right ten times out of ten was nearly always given with high probability. So the last line compares
#   pairs of equal confidence. [What else could it be?](deeper/what_else.ipynb) goes on from there.
#
# ## Everyday answers
#
# In use nobody has ten samples that agree. So: one sampled answer to each question, as it comes, refusals left out; the same probes and
# test people.
#
# > **Predict first.** Will confidence do worse? Will the H-Neurons?

# %%
prediction = ""

day = analyses.everyday(found)
print(debrief(prediction, day.headline if day else "too few right or wrong answers"))

# %% [markdown]
# ## What this does not show
#
# * **Detection is not cause**, as the weakened plant shows. Notebook 3 turns the neurons up.
# * **They are not *the* hallucination neurons**: the list need not hold all, and [need not come back](deeper/found_again.ipynb).
# * The planted model was made so that the method can succeed. That says nothing of other models.
#
# **What a real model needs:** thousands of consistent answers of each kind, since the path chooses among hundreds of thousands of neurons;
# entities kept apart; and confidence beside every AUROC.
#
# ## Try it
#
# Any neurons you like, by flat number: how well do they detect, refitted in the same way?

# %%
for n in (1, 3, len(card.rows)):
    print(f"the heaviest {n}: {found.auroc_of(card.neurons[:n])}")
