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
# # Deeper · What else does scaling do?
#
# **Notebook 3 turned the H-Neurons and counted how often the model gave in. What does it forget, how does it write, when does it
# break? And do the neurons that are read before the answer move it?**
#
# Read it when a curve has risen, or failed to. About 20 minutes to read, 1 to run (`make deeper`). Words: [glossary](../glossary.md).

# %%
import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils import analyses
from hn_utils.questions.items import CAPABILITY, behaviour_called
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery
from hn_utils.steering.slopes import ABLATION, AMPLIFICATION
from hn_utils.steering.verdicts import outermost_told, verdicts

subject = hn.load()
study = subject.study
gallery = Gallery(study, "what_it_costs")
collected = hn.collect(subject)  # from disk, if the main notebooks have run
found = hn.find(collected)
card = found.card
intervened = hn.dose_response(subject, found)

# %% [markdown]
# ## Silencing and shouting
#
# They need not be two ends of one line. The slopes beyond what shuffled labels pick, separately below and above 1. (Silencing is where a
# control cannot always disturb as much: a set that is quieter can be silenced, and no more.)

# %%
for behaviour, curve in intervened.behaviours.items():
    silenced, turned_up = curve.slope_beyond_control(ABLATION), curve.slope_beyond_control(AMPLIFICATION)
    print(f"{behaviour_called(behaviour).title:20} ablation (0 to 1) {silenced}   amplification (1 to 3) {turned_up}")

# %% [markdown]
# How many items respond at all, at alpha 0 or 3? A mean slope can hide that nearly all stay as they were.

# %%
for behaviour, curve in intervened.behaviours.items():
    others = curve.control_swings
    print(f"{behaviour_called(behaviour).title:20} {curve.swings:.0%} of items change their outcome", end="; ")
    print(f"with control sets {others.mean():.0%} ({others.min():.0%} to {others.max():.0%})")

# %% [markdown]
# (The restricted request is sampled, so part of its swing is chance.)
#
# ## What it costs
#
# If the same scaling makes the model forget what it knows, the curves above need another reading: not a
# model that gives in, but one that no longer remembers. So: the same facts, asked plainly; the same with a harmless
# role-play opening ("harmless requests"); and ordinary text. Each beside what scaling its controls costs.

# %%
gallery.publish(plots.side_effects(intervened, card), "side_effects")

# %%
for name, verdict in verdicts(intervened.capability).items():
    curve = intervened.capability[name]
    rates = " / ".join(f"{(curve.at(a) == 'complied').mean():.2f}" for a in (0, 1, 3))
    print(f"{CAPABILITY[name].title}: right at alpha 0 / 1 / 3 {rates}; slope {curve.slope()},")
    print(f"    beyond its control {curve.slope_beyond_control()} points per alpha: {verdict}")
print(outermost_told(intervened.capability))

# %% [markdown]
# All facts here are ones that the model states at alpha 1, so recall starts from 1 and can only fall, to both sides: a slope over
# 0, 1 and 3 hides that, the shares show it. (These two curves are a family of their own, corrected for two. With every further
# family the chance of some false alarm grows again.)
#
# The paper stops at alpha 3. Beyond it, which breaks first, what the model knows or how it writes? And do H-Neurons break
# it sooner than random neurons as loud? (Other facts, drawn anew, and five random sets.)

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
# Another set is found where the answer is chosen, at the position before it ([where is it known?](what_else.ipynb)). Do *they* move the model? And if they do,
# does the model give in less, or does it merely know less?

# %%
before = hn.find(collected, region="before")
there = hn.dose_response(subject, before)
gallery.publish(there.plot(), "dose_response_before")

# %%
gallery.publish(plots.side_effects(there, before.card), "side_effects_before")

# %%
for name, verdict in verdicts(there.capability).items():
    beyond = there.capability[name].slope_beyond_control()
    print(f"{CAPABILITY[name].title}: beyond its control {beyond} points per alpha: {verdict}")

# %% [markdown]
# Where scaling a set costs more knowledge than scaling its controls does, a fall in compliance may be breakage.

# %%
for behaviour, verdict in verdicts(there.behaviours).items():
    beyond = there.behaviours[behaviour].slope_beyond_control()
    print(f"{behaviour_called(behaviour).title:20} {beyond} {verdict}")
print(outermost_told(there.behaviours))

# %% [markdown]
# ## What this does not show
#
# * With every further family of curves the chance of some false alarm grows again; each is corrected for itself alone.
# * Scaling during the whole text also changes how the prompt is read, not only how the answer is written.
# * Where the model breaks says little about where it would give in if it did not break.
