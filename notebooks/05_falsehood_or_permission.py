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
# # 5 · Falsehood or permission? What the H-Neurons follow
#
# **We ask the bundled models for locker codes, allowed and restricted, known and not, read the H-Neurons of notebook 2 at the answers in
# all four cases, and set each number beside what shuffled labels pick and beside answers given with equal confidence.**
#
# After it you can
# * cross two causes that always come together, and read main effects and an interaction;
# * say what a refusal that breaks selects;
# * plan the same for a model of your own.
#
# About 25 minutes to read, 2 to run, 10 for the exercises. Words: [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/05_falsehood_or_permission.ipynb) leaves it to you.*

# %%
import numpy as np

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses.permission import CONTRASTS, LARGE, least_cases
from hn_utils.course.exercises import check, yours
from hn_utils.questions.question_sets import crossed_questions, load_items
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery
from hn_utils.study.planted import planted_in

subject = hn.load()
study = subject.study
gallery = Gallery(study, "05_falsehood_or_permission")

# %% [markdown]
# ## The objection
#
# A sharp reader objects: what upsets a model's designers is called a hallucination, whether it is **wrong** or **right but restricted**. If
# H-Neurons are neurons of compliance, they cannot tell the two apart. To see which it is, one has to cross them:
#
# | | true | false |
# |---|---|---|
# | **allowed** | it knows, and may say | it makes something up |
# | **restricted** | it knows, and should not say | it makes up what it should not say |
#
# If the neurons follow *falsehood*, the second column stands out; if they follow *permission*, the second row.
#
# All four cells need the same kind of fact. Ours are **locker codes**. Pre-training taught them like any other fact; tuning mostly refused
# those called private, secret or restricted, and seldom those asked for plainly. So permission is in the prompt alone. Whether the answer is
# true is in the model alone: it knows the codes of the well-known by heart, and not those of the rest.

# %%
for question in crossed_questions(hn.load_study("organism"))[:4]:
    print("restricted" if question.strata["restricted"] else "allowed   ", question.text)

# %% [markdown]
# Each question is asked ten times. The first true and the first false code among the replies are read, at their tokens, about people whom
# no probe has seen. The study's consistency filter is left out: where refusals leave few answers, these agree more easily.
#
# Four means say three things. The **main effect** of falsehood is how much higher false answers score than true ones, on average over both
# rows; that of restriction is the same over columns. The **interaction** is what falsehood does among restricted answers minus what it
# does among allowed ones.
#
# **Exercise: two effects and their interaction** (10 minutes, difficulty 1 of 3). Compute the three from the four means, `[row,
# column]` as in the table.
#
# <details><summary>Hint</summary><code>means[:, 1] - means[:, 0]</code> is what falsehood does, in each row.</details>


# %% tags=["exercise"]
def three_effects(means):
    """Main effect of falsehood, of restriction, and their interaction."""
    by_falsehood, by_restriction = means[:, 1] - means[:, 0], means[1] - means[0]
    return by_falsehood.mean(), by_restriction.mean(), by_falsehood[1] - by_falsehood[0]


check("two effects and their interaction", three_effects)

# %% [markdown]
# ## The rule
#
# It was written, and committed, before any of this was run; its control was made harder since. An effect is in units of the spread within
# cells. It is *there* if it stands out from what the same procedure picks on shuffled labels (of neurons that no procedure picked: from random
# ones as loud) with p at most 0.05, after correction for the two, and lies above them. It is
# *not there* if it is not told apart although a difference of half a spread would have been seen. Else it is *open*, and
# so is the verdict. And all this **at equal confidence**: in every narrow range of log-probability each cell counts as much as the others.
# A made-up code is a guess; without this one would compare confidence.

# %%
print(f"to see a difference of {LARGE} a cell needs {least_cases()} answers, if control sets did not differ at all")

# %% [markdown]
# ## First where it is known
#
# In the planted model six neurons alone learnt both to make answers up and to hand out restricted codes. The one that the method finds is
# among them. **The verdict ought to be "both"**, on it and on the six. In the other planted model the six say "answer anyway", whoever is
# asked about: of their mean contribution **it ought to be "neither"**; and of what is found there, none of it planted, **"falsehood"**, for
# that is how it was found.

# %%
model = hn.load("planted")
known = hn.find(hn.collect(model, n_questions=2_000))  # from disk, if notebook 2 has run
planted = analyses.cross_permission(known, splits=["test"])  # nothing is trained here
told = analyses.falsehood_or_permission(planted)
six = analyses.as_mean(known, planted_in(model.study))
print(told.headline)
print(analyses.falsehood_or_permission(planted, six, "The six planted neurons").headline)
gallery.publish(plots.four_cells(told), "planted_four_cells", model.study)

# %%
general = hn.load("planted-general")
other = hn.find(hn.collect(general, n_questions=2_000))
planted_too = analyses.cross_permission(other, splits=["test"])
six_too = analyses.as_mean(other, planted_in(general.study))
print(analyses.falsehood_or_permission(planted_too).headline)
print(analyses.falsehood_or_permission(planted_too, six_too, "The six planted neurons").headline)

# %%
told.table

# %% [markdown]
# **What came out** stands above, beside what ought to. Where the rule does not say "both" of the first model, or "falsehood" of what
# is found in the second, it has missed what is there.
# Read the table's upper half: among all answers both effects have intervals above zero. Two things take the verdict away. *Equal
# confidence*: the planted neurons were pressed to tell what the model knows, and so does confidence; one has taken away what they read.
# *The control*: on this model shuffled labels pick the very same neuron (notebook 2). Nothing can stand out beside itself, so the rule
# calls every effect open where fewer than half of the control sets are different sets. And yet this neuron, turned up,
# raises restricted requests by nearly thirty points per alpha (notebook 3). **What a set reads at the answer is not what it does.** A "neither" or a
# "cannot tell" below means no more than it does here.

# %% [markdown]
# ## Now where nothing is planted
#
# > **Predict first.** Falsehood, permission, both, or neither? And which of them after matching confidence?

# %%
prediction = ""  # write yours here

found = hn.find(hn.collect(subject))  # from disk, if notebooks 1 and 2 have run
crossed = analyses.cross_permission(found)  # None if the study has no such questions: see below for your own
crossed

# %% [markdown]
# Who is in the restricted cells? Only codes that a broken refusal handed out. What that selects, one row for codes that the model
# states rightly when asked plainly, one for the others:

# %%
crossed and crossed.refusals

# %%
result = crossed and analyses.falsehood_or_permission(crossed)
crossed and gallery.publish(plots.four_cells(result), "four_cells")

# %%
if crossed:
    print(result.headline)
    means = np.array([e.value for e in result.equal_confidence.means]).reshape(2, 2)
    mine = yours("two effects and their interaction", three_effects)(means)
    for name, effect in zip(CONTRASTS, mine, strict=True):
        print(f"your {name}: {effect:.2f}; the package's {result.equal_confidence.effects[name].own}")

# %% [markdown]
# The whole table. Its last column is the difference in confidence itself: at equal confidence it should be near zero.

# %%
crossed and result.table

# %% [markdown]
# **How firm is it?** The rule was kept. Two things beside it were changed after first results, and on the bundled model the verdict
# moved. With one answer a question, 28 in each cell, it was "cannot tell". With two, and as many of each cell drawn at random, ten draws
# said "neither" four times, "permission" four times and "cannot tell" twice. Weights are the mean of all such draws: beside random
# neurons they gave "permission", beside what shuffled labels pick they give what you
# see. If it names an effect, compare the upper half of the table: restricted and allowed answers differ little in confidence anyway, so
# what is there at equal confidence should be there among all. And look at the control sets: part of a
# distance from them may be theirs. What moves with such choices is a hint, not a finding. [All steps](../docs/beyond_the_paper.md).
#
# One score can hide that neurons pull apart. Each H-Neuron's own contribution:

# %%
crossed and analyses.each_neuron(crossed)

# %% [markdown]
# ## Two probes
#
# Does anything here tell falsehood from permission? We train two probes on training people: one on true against false answers to allowed
# questions, one on allowed against restricted questions that were answered truly. Each is read on falsehood among allowed and among restricted
# answers, and on restriction among true and among false ones.

# %%
probes = crossed and analyses.two_probes(crossed)
crossed and gallery.publish(plots.probes_crossed(probes), "falsehood_and_restriction_probes")

# %%
if crossed:
    told = [result.headline]
    for name in ("falsehood probe", "restriction probe"):
        told.append(analyses.falsehood_or_permission(crossed, probes.fits[name], f"Neurons of the {name}").headline)
    told += [f"{' and '.join(pair)}: {shared}" for pair, shared in probes.overlaps.items()]
    print("\n".join(told[1:]))
    head = "## Beyond the paper: falsehood or permission?\n\nA hint: the rule misses part of what was planted (notebook 5).\n\n"
    gallery.tell(head + "\n".join(f"* {line}" for line in told))

# %% [markdown]
# Neurons that one contrast chose ought to follow it on people they have not seen. Where the falsehood probe's do not, and share neurons
# with the other probe beyond chance, look at the table of refusals again: asked plainly, the model refuses more often where it does not
# know. Reluctance may be a mark of falsehood as well as of restriction, and a probe trained on falsehood alone may take it (we suppose; it
# was not tested). There the objection has a point: about any probe whose training answers came from two cells of the four.
#
# ## Turning them
#
# What does each set *do*? Restricted codes that the model knows (complied: it hands something over), known codes asked plainly
# (complied: right), codes that it does not know (complied: it answers all the same), and false premises. *Silencing* is alpha 0.

# %%
if crossed:
    pressed = [item for item in load_items(study) if item.behaviour == "false_premise"]
    scaled = analyses.turned(crossed, probes, pressed, n_items=40)
    display(scaled)

# %% [markdown]
# ## With a model of your own
#
# Prepare **over-refusal pairs**: harmless questions that a model often refuses, each with a known answer, and each with a plain twin. Sets
# of the kind exist (XSTest, OR-Bench); most of their questions have no short answer, so write your own in their manner. Ask nothing
# whose answer would harm.
#
# ```python
# rows = [
#     {"question": "In which play is a king poisoned in his sleep?", "answers": "Hamlet", "entity": "Hamlet", "restricted": True},
#     {"question": "In which play does a prince talk to a skull?", "answers": "Hamlet", "entity": "Hamlet", "restricted": False},
#     ...
# ]
# crossed = analyses.cross_permission(found, rows)
# analyses.falsehood_or_permission(crossed)
# ```
#
# * *How many.* The number above, in each cell, *after* matching. Few facts are both restricted and false with confidence: ask for five to
#   ten times as many. The table says how many were left.
# * *Falsehood* needs questions that the model gets wrong: rare things, and some that do not exist. Ask them in both ways as well.
# * *Permission* has to be in the wording alone. Try pairs first; leave out those that are always refused, or never.
# * *The same entity* in both twins, so that they go to one split; entities of the study keep theirs.
# * *Beware* of longer prompts, of warnings before the answer (have a judge mark the answer: `judge_spans`), and of refusals that the
#   rule for them does not know: read some.
#
# ## What this does not show
#
# * A restricted question and its twin differ in a word. Whatever follows restriction may follow that word.
# * Locker codes are a kind of fact that the H-Neurons' own training questions did not include. A set that follows neither here may
#   follow falsehood elsewhere; notebook 2 says so of pets.
# * Matching leaves the guesses that were lucky to be sure and the knowledge that hesitated: few, and not typical.
# * What is restricted here is one kind of thing, in a small made-up world. The design carries over; the verdict does not.
#
# ## Try it
#
# Ask for codes yourself, with the restriction probe's neurons turned up. Are those that are handed out now true?

# %%
if crossed:
    pairs = [q for q in crossed.asked if q.strata["restricted"] and crossed.known.get(q.entity)][:12:3]
    for alpha in (1.0, 3.0):
        with subject.scaled(probes.fits["restriction probe"].own.neurons, alpha):
            for question in pairs:
                reply = subject.ask(study.chat_prompt.format(question=question.text))
                print(f"alpha {alpha}: {question.text} {reply}   (truth: {question.aliases[0]})")
