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
# # 6 · Where do they come from? What a model must have read for H-Neurons to form
#
# **We train small models on the same made-up world, told in six ways that differ in one property at a time, and ask of each what the
# probe finds in it, beside random neurons (these runs were measured before the harder control of notebook 2 was there), a twin condition that must not work, and what the model has learnt of the property at all.**
#
# After it you can
# * set up an experiment on training text in which one thing differs;
# * say why a condition that was not learnt is no evidence;
# * judge hypotheses that were written down before the runs.
#
# About 20 minutes to read, less than 1 to run, 10 for the exercises: the models were trained beforehand (some hours), and their numbers are
# read here. The paper does not ask this; it finds H-Neurons in base models and stops there. Words: [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/06_where_from.ipynb) leaves it to you.*

# %%
import numpy as np
import pandas as pd

import hn_utils as hn
from hn_utils.course.exercises import check
from hn_utils.organism import texts_compared
from hn_utils.organism.conditions import CONDITIONS, TiedPages, small_world
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery

gallery = Gallery(hn.load_study(), "06_where_from")
rows = texts_compared.shipped()  # trained beforehand
alike = texts_compared.shipped(width=rows[0]["width"])  # one width, all kinds of text
print(f"{len(rows)} models, seeds {sorted({row['seed'] for row in rows})}")

# %% [markdown]
# ## One property at a time
#
# In real text much hangs on what is true. Writers hedge what they are unsure of. False answers get corrected. About people nobody
# knows there is nothing to read. Which of these does a model need, so that a few neurons tell its made-up answers from its true ones?
# No one can take them out of the internet. In a made-up world we can.
#
# All models read about the same people, in the same kinds of sentence, at the same rates, from the same seeds. In four texts it differs
# what a mark, a hedge, a correction or a "nobody knows" *depends on*. Under `nothing` they fall by chance.

# %%
pd.DataFrame({name: condition.says for name, condition in CONDITIONS.items()}.items(), columns=["condition", "text"])

# %%
for tied in ("", "sure", "corrected", "nobody"):
    pages, rng = TiedPages(small_world(), tied), np.random.default_rng(5)
    print(tied or "nothing")
    for kind in (pages.marked, pages.corrected, pages.met):
        print("   ", kind(rng).text)

# %% [markdown]
# Others share the pages of `nothing`, and differ in tuning: the assistant says "I do not know." more often the less
# known somebody is (`familiar`), or just as often about people drawn by lot (`luck`). The second is the **twin that must not work**: it
# has everything that the first has, except for what we think matters. The two with `-long` were added when the results were known, since
# `familiar` had not been learnt: they are tuned twice as long, and test no hypothesis.
#
# **Exercise: a twin that must not work** (10 minutes, difficulty 2 of 3). You have tuning chats: whether the assistant abstained in each,
# and which person it is about. Make the twin: as many abstentions, about people drawn by lot. A person who is drawn is met with
# an abstention in all of their chats, until the number is reached.
#
# <details><summary>Hint</summary>Shuffle the people, then the chats in the order of their people. Who comes first abstains.</details>


# %% tags=["exercise"]
def twin(abstained, people, seed):
    """For each chat, whether it abstains in the twin."""
    order = np.random.default_rng(seed).permutation(np.unique(people))
    place = {person: i for i, person in enumerate(order)}
    first = np.argsort([place[person] for person in people], kind="stable")[: int(np.sum(abstained))]
    return np.isin(np.arange(len(people)), first)


check("a twin that must not work", twin)

# %% [markdown]
# ## Was it learnt?
#
# A model that has not noticed a property cannot have been changed by it. So before any probe we asked for behaviour. Is `!` likelier after
# a true answer than after a false one? "Right."? Is "nobody" likelier about somebody nobody wrote about? The gap had to be 0.3 or more
# for what is tied, and 0.1 or less for all else. A run that fails is shown, hollow, and not counted.

# %%
gaps = ("sure", "corrected", "nobody", "abstains", "recall")
pd.DataFrame(
    [
        {"text": r["condition"], "seed": r["seed"], **{g: f"{r['gaps'][g]:.2f}" for g in gaps}, "learnt": r["learnt"]}
        for r in alike
    ]
).set_index("text")

# %% [markdown]
# ## What the probe finds
#
# Then the road of notebooks 2 to 4, unchanged, for every model. In the base model a probe of its own is trained as well, on its own answers:
# that is the more direct test for what stands in the pages. Hypotheses, thresholds and the rule were written down, with a date, before
# the first run ([here](../data/conditions/README.md)).
#
# > **Predict first.** Which kinds of text raise detection? Does `nothing` leave any? What will the twin do?

# %%
prediction = ""  # write yours here

measures = ("base", "instruct", "base, matched", "slope")
gallery.publish(plots.what_text(texts_compared.drawn(alike, measures), texts_compared.raised(rows)), "what_text")

# %% [markdown]
# **What came out**, by the rule: a condition *raises* a number if it lies above `nothing` in each of three seeds, and by 0.05 on average
# (5 points for slopes), and *lowers* it likewise; it *leaves* it if all three differences are smaller than that; else the matter is
# *open*. A run that has not learnt its text does not count. The brackets hold the differences, seed by seed.

# %%
texts_compared.judged(rows)

# %%
texts_compared.every_value(alike)[["seed", "learnt", "H-Neurons", *measures]]

# %%
table = texts_compared.hypotheses(rows)
lines = [f"* {hypothesis}: **{became}**" for hypothesis, became in table.itertuples(index=False)]
gallery.tell("## Beyond the paper: what must a model have read?\n\nHypotheses on small models\n\n" + "\n".join(lines))
table

# %% [markdown]
# What a prediction should have considered: a model can be unsure without having read a word about being unsure. To recall a fact and to guess
# one are different computations, whatever the text says about truth. What a property of the text can add is a reason to
# *compare* what was said with what is known, at the tokens where the probe reads.
#
# ## Since when?
#
# The models of `familiar` were kept along the way (its pages are those of `nothing`; its tuning was learnt in no seed, and left one or two
# H-Neurons). At each checkpoint two questions: what do the *final* H-Neurons detect in its answers, and what would have been found *anew*
# there?

# %%
followed = [row for row in alike if "when" in row]
gallery.publish(plots.since_when(followed), "since_when")

# %%
texts_compared.along(followed)

# %% [markdown]
# Read the left end with care. A model that knows nothing has no true answers, so there is nothing to tell apart: lines begin where there
# are enough consistent answers of either kind. Base models are asked as plain text, tuned ones by the chat template. Confidence
# (an AUROC, not a distance) is at 0.88 or more wherever there are answers enough.
#
# How often must a fact be stated until it is no longer made up? Statements were counted:

# %%
gallery.publish(plots.made_up_by_exposure(followed), "made_up_by_exposure")

# %% [markdown]
# At the left end not all is wrong: facts that were hardly read are guessed, and some guesses are lucky, since families in this world
# share customs.
#
# ## With size
#
# `nothing` and `familiar` were read by narrower and by wider models as well. First the checkpoints of these pages:

# %%
gallery.publish(plots.with_width([row for row in rows if "when" in row]), "with_width")

# %%
sized = [row for row in rows if row["condition"] in ("nothing", "familiar")]
texts_compared.every_value(sized)[["width", "seed", "learnt", "H-Neurons", "instruct", "base", "slope"]]

# %% [markdown]
# ## Beside the paper
#
# | the paper says | here |
# |---|---|
# | H-Neurons are in the base model, so pre-training makes them | in these models, too; and the table above says what in the text it takes, as far as three seeds can tell |
#
# ## What this does not show
#
# * A made-up world of a thousand people is not the internet. What forms here *can* form from such text; that it forms from it elsewhere is
#   not shown.
# * Three seeds tell large differences only. "Open" is an answer.
# * The distance from random neurons hangs on how many the rule keeps: one clear neuron lies far from single random ones, forty lie less far
#   from forty. Read it with the number of H-Neurons beside it.
# * Where a property was not learnt, or a behaviour lies at its floor, nothing follows.
# * Detection is not cause: see notebook 3.
#
# ## Try it
#
# One model more, from the first page to the verdict, takes some five minutes on one core: another seed, or a seventh
# property of your own in `hn_utils/organism/conditions.py`. The command stands [with the data](../data/conditions/README.md); how each step is taken, in [the page of
# methods](../docs/beyond_the_paper.md). Here is all
# that is kept of one run:

# %%
pd.json_normalize(rows[0]).T
