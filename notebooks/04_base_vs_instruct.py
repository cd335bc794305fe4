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
# # 4 · Base against instruct: were the H-Neurons there before tuning?
#
# **The paper's claim: the instruct model's probe, unchanged, detects in the base model as well, and tuning moved its neurons less than others. First for
# neurons of which we know that tuning made them; then for those of the model studied. Beside both stands what shuffled labels pick; beside
# transfer also confidence, beside drift random neurons of the same layers.**
#
# After it you can
# * test a probe on a model it was not trained on, and say why only AUROC is fair there;
# * measure *drift* of single neurons and give it a permutation p-value;
# * write a sentence about all this that you could defend.
#
# About 25 minutes to read, 2 to run, 25 for the exercises. Sections 4 and 6.3 of the [paper](https://arxiv.org/abs/2512.01797). Words:
# [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/04_base_vs_instruct.ipynb) leaves it to you.*

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown

import hn_utils as hn
from hn_utils import analyses
from hn_utils.answers.examples import drop_counts
from hn_utils.course.exercises import check, debrief, yours
from hn_utils.models.generation import generate
from hn_utils.organism.seeds import shipped
from hn_utils.origins.transfer import CONTROLS, N_PERMUTATIONS
from hn_utils.report import plots
from hn_utils.report.explorer import Explorer, page_of
from hn_utils.report.gallery import Gallery
from hn_utils.report.report import findings, page
from hn_utils.stats.metrics import auroc
from hn_utils.stats.neuron_sets import Match, random_sets
from hn_utils.study import BUNDLED

subject = hn.load()
study = subject.study
gallery = Gallery(study, "04_base_vs_instruct")
collected = hn.collect(subject)  # from disk, if the notebooks before have run
found = hn.find(collected)
card = found.card
print(len(card.rows), "H-Neurons of", study.name)

# %% [markdown]
# ## Backward transfer
#
# The probe's weights were trained on the instruct model's contributions. In another model these have another scale, so that the
# threshold at 0 means nothing; the *order* of the scores, and so AUROC, still means something.
#
# **Exercise: base transfer** (5 minutes, difficulty 1 of 3). Given contributions in the base model `[example, neuron]`, which of its
# answers are made up, and the instruct model's weights and intercept: return one number that says how well the probe detects there.
#
# <details><summary>Hint</summary>A probe's score is a weighted sum; <code>auroc(labels, scores)</code> is there.</details>


# %% tags=["exercise"]
def carried_over(X_base, made_up, weights, intercept):
    """What the unchanged probe detects in another model."""
    return auroc(made_up, X_base @ weights + intercept)


check("base transfer", carried_over)

# %% [markdown]
# ## First where it must fail
#
# The planted neurons of notebook 2 learnt during tuning to make answers up. In the base model, which both bundled
# models were tuned from, nothing is planted. If transfer and drift mean anything, they must say so.
#
# > **Predict first.** Which AUROC will the planted model's H-Neuron have in the base model? Did tuning move it more than other
# > neurons, or less?

# %%
prediction = ""  # write yours here

planted = hn.find(hn.collect(hn.load("planted"), n_questions=2_000))  # from disk, if notebook 2 has run
made = hn.look_back(planted)
print(
    f"at home AUROC {planted.detection(hn.Detector.H_NEURONS).auroc}, {planted.beyond['others']} beyond what shuffled labels pick instead"
)
print(debrief(prediction, made.headline))

# %% [markdown]
# What a prediction should have considered: a neuron may detect well at home and owe all of it to tuning. (Shuffled labels pick this very neuron,
# so that a difference from their picks is 0 by itself. The test is the AUROC at home and in the base model.)
#
# ## Now the model studied
#
# A base model knows no chat. It is asked with a question and `Answer:`, and its answer ends at a full stop or at the end of the line. It is asked the *test*
# questions only: ten samples, the same judge, the same filter. So right and wrong answers are its own.

# %%
origins = hn.look_back(found)
base = origins.base_collected
print(dict(drop_counts(base.examples)))
for example in base.kept[:3]:
    print(f"  {subject.encoder.decode(example.prompt_ids)} {example.text}   [{'wrong' if example.label else 'right'}]")

# %% [markdown]
# > **Predict first.** Higher than, lower than, or the same as on the instruct model?

# %%
prediction = ""

pd.DataFrame(
    {
        name: {
            "AUROC at home": str(here.detection(hn.Detector.H_NEURONS).auroc),
            "beyond picks on shuffled labels": str(here.beyond["any"]),
            "in the base model": str(there.base.h_neurons or "too few answers"),
            "beyond these there": str(there.beyond or ""),
            "confidence there": str(there.base.confidence or ""),
        }
        for name, here, there in (("planted by tuning", planted, made), (study.name, found, origins))
    }
)

# %%
print(debrief(prediction, origins.transferred))
if origins.base.h_neurons:
    fit = found.refitted
    X = base.contributions.at(found.probe.region).columns(fit.neurons)
    mine = yours("base transfer", carried_over)(X, base.labels, fit.weights, fit.intercept)
    print(f"yours {mine:.6f}; the package's {origins.base.h_neurons.value:.6f}")

# %% [markdown]
# Two questions, not one. How *well* does the probe detect in the base model? One that detects little at home detects little there. And how
# much of it *carries over*? For that compare the two distances from what shuffled labels pick. (Of the planted neuron both are 0: shuffled
# labels pick the very same one, as notebook 2 has shown.)
#
# What could one hope for? A probe trained on the base model's *own* answers, tested on the same people:

# %%
own = analyses.retrained_on_base(found, base.subject)
if own is None:
    print("the base model gives too few consistent answers to train on")
else:
    n = len(own.probe.fit.h_neurons)
    print(f"{n} H-Neurons of its own, {own.shared} of them the instruct model's: AUROC {own.h_neurons}")

# %% [markdown]
# Do the same neurons contribute as much before tuning as after?

# %%
tested = collected.contributions[collected.test_rows("standard")]
controls = [fit.neurons for fit in found.control if len(fit.neurons) == len(card.rows)]
gallery.publish(plots.base_and_instruct(base.contributions, tested, card, controls), "base_and_instruct")

# %% [markdown]
# ## Since when?
#
# Each saved checkpoint of pre-training answers the test questions itself. Early ones know almost nothing: those with fewer than 20 right
# or wrong answers are left out.

# %%
gallery.publish(origins.plot(), "timeline")

# %%
origins.table

# %% [markdown]
# ## How far did they move?
#
# For each neuron the paper takes the angle between its row of $W_{up}$ (what it reads) before and after tuning, and the same for its column
# of $W_{down}$ (what it writes): $1 - \cos$ of each, standardised over all neurons and averaged. Neurons are ranked from 0 (moved most) to
# 1 (moved least): a high rank means *little* drift. Random neurons have a mean rank of about 0.5. A *permutation p* says whether the
# H-Neurons' is unusual.
#
# **Exercise: a permutation p** (10 minutes, difficulty 2 of 3). From the H-Neurons' mean rank and those of many random sets: how
# often does a set lie at least as far from the random sets' mean, on either side? The H-Neurons count as one more set.
#
# <details><summary>Hint</summary>Can a p from 99 sets be 0? <code>np.abs(null - null.mean())</code> are distances.</details>


# %% tags=["exercise"]
def permutation_p(value, null):
    """Two-sided: how often a set lies at least as far from the random sets' mean, this set counted among them."""
    as_far = np.abs(null - null.mean()) >= abs(value - null.mean())
    return (1 + as_far.sum()) / (1 + len(null))


check("a permutation p", permutation_p)

# %% [markdown]
# Layers drift differently as a whole, and a step of the same length turns a long weight vector less than a short one. So p compares
# with random sets from anywhere (as in the paper), from the same layers, and from the same layers with weights as long. A last control asks
# about the *picking*: the same probe on shuffled labels picks neurons that show where answers stand; if they tell made-up answers as well, that
# is not why they were picked. If those moved as little, then little movement marks whatever a sparse probe picks.
#
# > **Predict first.** The paper finds ranks of 0.48 to 0.97. Ours?

# %%
prediction = ""

gallery.publish(plots.drift_ranks(origins.drift, card), "drift")

# %%
drift = origins.drift
sets = random_sets(card.neurons, card.shape, N_PERMUTATIONS, Match("layer"), study.seed)
mine = yours("a permutation p", permutation_p)(drift.mean_rank, np.array([drift.rank[s].mean() for s in sets]))
print(f"against the same layers: yours p = {mine:.6f}; the package's {drift.p['layer']:.6f}")
for match, p in drift.p.items():
    print(f"p = {p:.4f} against {CONTROLS[match]}")
print(f"mean rank {drift.mean_rank:.2f}, among neurons of the same layer {drift.mean_rank_within:.2f}")
print(debrief(prediction, drift.told))

# %% [markdown]
# The last line names the control that comes nearest. What a prediction should have considered: a weight that turned
# little is not a neuron that contributes more. That tuning *amplifies* H-Neurons is a common misreading: the paper did not measure it. The
# figure of both models does.
#
# ## What may one say?
#
# **Exercise: one sentence** (10 minutes, difficulty 3 of 3). Write one sentence about this model that you could defend: what was measured,
# with its interval, beside its control, on which answers, in a verb that claims no more. The check looks for these four; whether it is
# true is for your neighbour to say.
#
# <details><summary>Hint</summary>Estimates print with their interval: <code>f"{found.beyond['any']}"</code>.</details>

# %% tags=["exercise"]
own = found.detection(hn.Detector.H_NEURONS).auroc
sentence = (
    f"On {own.n} consistent answers about people whom the probe had not seen, the H-Neurons detect "
    f"made-up answers with AUROC {own}, {found.beyond['any']} beyond what shuffled labels pick."
)
check("one sentence", sentence)

# %% [markdown]
# ## The whole paper on this model, on one page
#
# Every sentence that the four notebooks could test, with a verdict by rule. Detection must lie beyond both controls, what shuffled labels pick and
# random neurons as loud. Then it *replicates* if the paper measured it on that part, and is *there* if not; beyond one control alone it is
# *weaker*. Its p are corrected for all test sets (Holm), on more shuffles than in notebook 2. A slope has to stand out as in notebook 3. Transfer is
# judged by its level and by its distance from what shuffled labels pick; drift against every control. *Cannot say*: an effect as large as the
# paper's could have been missed.

# %%
intervened = hn.dose_response(subject, found)  # from disk, if notebook 3 has run
day = analyses.everyday(found)  # from disk, if notebook 2 has run
report = page(study, findings(found, day, intervened, origins))
gallery.tell(report)
Markdown(report)

# %% [markdown]
# The bundled model was trained with three seeds; the first ships, whatever came out. World, recipe and analysis were fixed before
# any of them was probed. What holds in all columns does not hang on one training; it may hang on the world. **This table is older than the page
# above**: its control is as many random neurons of the same layers, each about as loud as one H-Neuron, so that its first column differs a
# little from the numbers above. Compare its columns with each other only. In none of them is drift told apart from what shuffled labels
# pick: a p near 0.05 above is nothing to build on.

# %%
if study == BUNDLED:
    display(shipped())

# %% [markdown]
# ## What this does not show
#
# * Transfer shows that the *probe* works in the base model, as far as it does. Confidence needs no neuron for that.
# * That a weight did not move does not say that it matters.
# * Base and instruct models are asked in different words; part of any difference is that.
#
# **What a real model needs:** its own base model; saved checkpoints, which few publish; and for drift the weights of both in memory.
#
# ## Look around
#
# The explorer shows single answers: known, half-known, never written about, or under pressure. It shows what the model writes as
# alpha moves, with the H-Neurons and with random sets as loud; each token coloured by the probe's score; what the H-Neurons contribute to it; and
# each neuron's card. The bundled page holds three models: one in which nothing is planted, and both planted ones, which say so.
# It opens on the clearest case, chosen by a rule, and says what to try first. It is one page that needs nothing else:
# `explorer.html` among this run's results. Read the numbers beside the colours. Where random sets colour an answer as well, the colour is not about
# H-Neurons.

# %%
explorers = [Explorer(found, intervened, origins.drift)]
if study == BUNDLED:
    general = hn.find(hn.collect(hn.load("planted-general"), n_questions=2_000))
    for known, n_items in ((planted, 40), (general, 20)):  # the first is on disk, if notebook 3 has run
        explorers.append(Explorer(known, hn.dose_response(known.subject, known, n_items=n_items)))
path = gallery.keep_page(page_of(explorers), "explorer")
print(f"open runs/{study.name}/{path.name}")

# %% [markdown]
# The same for a question of your own, asked now. Change the name: does anything warn of an answer about somebody who does not exist?

# %%
example = next(e for e in collected.kept if e.label == 1 and e.question.split == "test")
explorers[0].ask(example.question.text, truth=example.question.aliases[0] if example.question.aliases else "")

# %% [markdown]
# ## Try it
#
# Does *scaling* the H-Neurons in the base model change what it answers? And scaling what shuffled labels pick (as many, but quieter)?

# %%
base_model = base.subject
example = next(e for e in base.kept if e.label == 1)
print(f"{example.question.text}   (truth: {example.question.aliases[0]})")
for name, neurons in (("H-Neurons", card.neurons), ("picked on shuffled labels", controls[0])):
    for alpha in (0.0, 1.0, 3.0):
        with base_model.scaled(neurons, alpha):
            (reply,) = generate(base_model, [example.prompt_ids], study.sampling, seed=0)[:1]
        print(f"{name}, alpha {alpha}: {[r.text.split(study.base_stop)[0] for r in reply[:4]]}")

# %%
print("all figures:", f"{gallery.folder.name}/{gallery.build_index().name}")
