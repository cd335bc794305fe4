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
# # Deeper · What else could it be, and where is it known?
#
# **Loudness, the kind of fact, the place where one reads: each could explain what the H-Neurons of notebook 2 detect. Each is
# held against its control again.**
#
# Read it when a detection claim is to be trusted. About 20 minutes to read, 2 to run (`make deeper`). Words:
# [glossary](../glossary.md).

# %% [markdown] tags=["solutions"]
# *The exercise shows a solution here. [The copy with a gap](../exercises/deeper/what_else.ipynb) leaves it to you.*

# %%
import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils import analyses
from hn_utils.course.exercises import check, stratified
from hn_utils.probing.find import RANDOM_NAMES, SELECTED_NAMES
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery
from hn_utils.stats.metrics import auroc

collected = hn.collect(hn.load())  # from disk, if the main notebooks have run
study = collected.study
found = hn.find(collected)
card = found.card
gallery = Gallery(study, "what_else")
print(found.headline)

# %% [markdown]
# ## Loudness
#
# One thing about the controls themselves. L1 on raw contributions picks neurons that are louder than nearly all others: how loud is each
# control, together, over the H-Neurons? (1: as loud. A control that is quieter is easier to beat.)

# %%
for name, fits in {**RANDOM_NAMES, **SELECTED_NAMES}.items():
    sets = found.random.get(name) or found.selected[name]
    loudness = np.mean([found.magnitude[fit.neurons].sum() for fit in sets]) / found.magnitude[found.neurons].sum()
    size = np.mean([len(fit.neurons) for fit in sets])
    print(f"{fits}: {size:.0f} neurons, {loudness:.2f} times as loud; H-Neurons {found.beyond[name]} beyond them")

# %% [markdown]
# ## At equal size
#
# The rule keeps as many neurons as it keeps: one in one model, forty in another, and forty detect more for their number alone. So: the first
# k that the procedure picks, on true and on shuffled labels.

# %%
analyses.by_size(found)

# %% [markdown]
# ## Every detector on every test set
#
# Notebook 2 shows seven detectors on one test set. Here is the whole table. Beside those stand picks on shuffled labels with the H-Neurons
# left out; random sets drawn more loosely; other measures of uncertainty (the entropy of the
# predictions, the *margin* by which the likeliest token leads); the length of the answer; and, since this world is ours, an
# *oracle* that knows how often each fact was read.
#
# Five test sets ask ever more: other people; other wording; a kind of fact that no training row mentioned; people nobody
# ever wrote about, whose answers can only be guessed (the wrong ones are set against the true answers of the first test set); and of the
# first set those answers that nobody gave in training.

# %%
compared = analyses.compare(found)
gallery.publish(plots.detection(found, compared.detections), "detection_everywhere")

# %%
compared.table

# %% [markdown]
# What sparsity costs is the distance between the H-Neurons and the dense probes. Mind the columns: what is found on some kinds of
# fact need not hold on another. There the dense probe may still detect where the few neurons do not.

# %% [markdown]
# AUPRC, the area under precision against recall, equals the share of made-up answers for a score that sees nothing.
#
# ## A confound, and like with like
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
# Confidence is such a suspect. Notebook 2 compares pairs of about equal confidence, and reads everyday answers, without the filter. On
# those: are the H-Neurons' probabilities right, and what does it buy to answer only where a score is low?

# %%
day = analyses.everyday(found)
day and gallery.publish(plots.everyday(day), "everyday")

# %% [markdown]
# ## Across kinds of fact
#
# The paper trains on one question set and tests on others. Here each kind of fact gets its own probe (its own people, its
# own C), and is tested on every other kind. On the diagonal is what a probe can do at home; beside it, what carries over. Mind the
# intervals, and how few neurons each set has: the means in the caption are of a handful of such cells.

# %%
crossed = analyses.across_domains(collected)
crossed and gallery.publish(plots.domains(crossed), "domains")

# %%
if crossed:
    everyone = [set(neurons.tolist()) for neurons in crossed.sets.values()]
    print(f"{len(set.union(*everyone))} neurons in any of the sets, {len(set.intersection(*everyone))} in all of them")
    for name, result in (("union", crossed.union), ("intersection", crossed.intersection)):
        print(
            f"{name}:",
            "empty" if result is None else f"AUROC {result[0]}, as many picked on shuffled labels {result[1]:.2f}",
        )
else:
    print("too few kinds of fact with right and wrong answers")

# %% [markdown]
# ## Where to read, and against what
#
# The paper reads at the answer tokens, when the answer has already been chosen; the position just *before* is where the
# choice is made. It sets answers against all other tokens, the first one included, on which contributions are odd in many
# models; one could leave that out, or train on right against wrong answers alone (*1-vs-1*). Each of these choices again,
# from the start, with its own C and its own controls. This is a second look at the test people. (An interval that holds 0 means: not
# told apart.) *1-vs-1* has another selected null than the other rows: there shuffled labels leave nothing to find.

# %%
elsewhere = analyses.read_elsewhere(found)
pd.DataFrame(
    [
        {
            "rows": name,
            "H-Neurons": len(result.card.rows),
            "also the paper's": len(set(result.card.neurons) & set(card.neurons)),
            "AUROC": str(result.detection(hn.Detector.H_NEURONS).auroc),
            "beyond picks on shuffled labels": str(result.beyond["any"]),
            "rank p": result.p["any"],
            "beyond random neurons as loud": str(result.beyond["loud"]),
        }
        for name, result in elsewhere.items()
    ]
)

# %% [markdown]
# **Where is it known?** The same search at every single position, from the last token of the name to the last of the
# answer: H-Neurons found anew there, as many picked there on shuffled labels (the band), a dense probe on
# all neurons, and how sure the model is of the token that follows. Beside it the base model, before any tuning.
#
# > **Predict first.** At which position does the most stand? One where something has been said, or one where it is about
# > to be said?

# %%
curves = {"instruct": analyses.at_every_position(collected), "base": analyses.at_every_position_of_base(collected)}
any(point.h_neurons for point in curves["instruct"]) and gallery.publish(plots.over_positions(curves), "positions")

# %%
for name, curve in curves.items():
    told = [point.name for point in curve if point.beyond and point.beyond.low > 0]
    print(
        f"{name}: told apart from picks on shuffled labels at {len(told)} of {len(curve)} positions: {', '.join(told)}"
    )

# %% [markdown]
# ## One by one
#
# A positive weight need not mean that a neuron writes more in what is made up. Each H-Neuron alone, sorted, beside sets picked on
# shuffled labels, sorted alike (band). Beyond the band: its 95 % interval lies outside 95 % of the sets, uncorrected for how many are
# looked at.

# %%
gallery.publish(plots.single_neurons(found), "single_neurons")

# %% [markdown]
# ## What this does not show
#
# * Each section is a second look at the same test people. What is chosen after seeing them has to be tested on others.
# * A control that is as loud, or of the same kind of fact, excludes that explanation and no other.
# * Each reading finds other neurons; that several places detect does not make them one mechanism.
