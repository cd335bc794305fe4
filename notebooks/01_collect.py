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
# # 1 · Collect: true answers, made-up answers, and what every neuron says in them
#
# **A language model gives some answers truthfully every time and makes up others every time; here we collect both
# kinds from one model, throw away everything in between, and record what each MLP neuron contributes while the
# answer is spoken.** Nothing is claimed yet. This notebook builds the evidence that the next three use.
#
# After it you can
# * say what a *neuron* and its *contribution* (CETT) are, and compute one by hand;
# * explain the paper's consistency filter, and what it throws away;
# * say where in a prompt and response the paper reads, and why position matters.
#
# About 20 minutes to read, 1 to 2 to run (seconds the second time). The paper: Gao et al., *H-Neurons*,
# [arXiv 2512.01797](https://arxiv.org/abs/2512.01797), sections 2 and 6.1. Words in *italics* are explained where they
# first appear, and again in the [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/01_collect.ipynb) leaves it to you.*

# %% [markdown]
# ## The model and its world
#
# `hn.load()` loads the model to be studied, and with it the *study*: which questions, which settings. Without further instruction that is the
# bundled **organism**: a Llama-type model of 2.2 million parameters that this project trained from nothing on a
# made-up world: a *model organism*, as biologists say of a fly that stands in for bigger animals. It has read about 4,000
# invented people, each fact about the famous hundreds of times, each about the obscure a few times. Since we wrote every
# sentence it has ever read, we know exactly what is true, what it had a chance to learn, and what not.

# %%
from collections import Counter

import pandas as pd
import torch

import hn_utils as hn
from hn_utils.contributions import contribution
from hn_utils.course.exercises import check
from hn_utils.judges import judge
from hn_utils.question_sets import load_questions
from hn_utils.responses import sample_responses
from hn_utils.shown import plots
from hn_utils.shown.gallery import Gallery
from hn_utils.spans import answer_positions

subject = hn.load()
study = subject.study
gallery = Gallery(study, "01_collect")
print(f"{study.name}: {subject.n_layers * subject.d_mlp:,} neurons")
print("\n".join(subject.checked))

# %% [markdown]
# Each question is about one fact. Its *aliases* are the accepted answers, its *entity* is whom it is about. *Strata* hold
# what else is known: `exposure` says how often pre-training stated that very fact, `quintile` in which fifth of fame the
# person is (0 the most famous), `group` whether instruction tuning spoke of them, and `trap` why one might be wrong and
# sure: an exception to what the family has, a namesake of somebody famous, a fact that stands in no text. Each question has its *part* in the study:
# *standard*, to learn and to be tested; *paraphrase*, the same facts in other words; *attribute*, a kind of fact kept out of the
# probe's training; *nonexist*, people nobody wrote about.

# %%
questions = load_questions(study)
print(len(questions), "questions,", dict(Counter(q.part for q in questions)))
questions[0]

# %% [markdown]
# Let us ask about somebody famous, somebody obscure, and somebody nobody ever wrote about. `sample_responses` draws ten
# answers as the paper does: temperature 1, top-k 50, top-p 0.9.
#
# > **Predict first.** Which of the three will it refuse to answer?

# %%
standard = sorted((q for q in questions if q.part == "standard"), key=lambda q: -q.strata.get("exposure", 0))
rarest = [q for q in standard if q.strata.get("exposure") != 0][-1]
trio = [standard[0], rarest, *[q for q in questions if q.part == "nonexist"][:1]]
for question, answers in zip(trio, sample_responses(subject, trio, study), strict=True):
    known = f"exposure {question.strata.get('exposure', 'unknown')}; truth: {', '.join(question.aliases[:1]) or 'none'}"
    print(f"\n{question.text}   ({known}); most frequent of ten:")
    for text, count in Counter(a.text for a in answers).most_common(4):
        print(f"  {count:2} x {text:24} {judge(text, question.aliases)}")

# %% [markdown]
# Asked for the answer only, on about a third of the questions it refuses at least once in ten draws; of these three on none. Of the famous person it is right ten times. Of the obscure one it says
# something else nearly every time. And of somebody it has never heard of it says the same wrong thing ten times, as sure as of
# the first: where the family comes from. That is what this course calls a *hallucination*: a fluent, false answer. (The
# never-written person has a true answer too; it was just never written down. What most of the family have is a good guess, and sometimes right.) The judge is a simple rule: an accepted answer stands in the response as whole words (*right*), the response
# declines (*abstained*), or neither (*wrong*).

# %% [markdown]
# ## What a neuron is, and what it contributes
#
# A transformer's *residual stream* is one vector per token, to which every layer adds. The *MLP* of a layer computes
# what to add in two moves. First it turns the stream into $d_{mlp}$ numbers,
#
# $$z = \mathrm{act}(W_{gate}\,x) \odot (W_{up}\,x),$$
#
# and each entry $z_j$ is one **neuron**: how strongly it fires at this token. Then it adds up one fixed vector per neuron,
# its column of $W_{down}$, weighted by $z_j$:
#
# $$h = W_{down}\,z = \sum_j z_j\,W_{down}[:, j].$$
#
# So a neuron's *write* is $z_j W_{down}[:, j]$. The paper asks how long that write is, compared with the whole
# layer's output. It calls this **CETT**; we call it the *contribution*:
#
# $$\mathrm{CETT}_j = \frac{|z_j|\;\lVert W_{down}[:, j] \rVert}{\lVert h \rVert}.$$
#
# Take the famous person's question and one answer, and do it by hand for one neuron at one token.

# %%
question = trio[0]
response = sample_responses(subject, trio, study)[0][0]
prompt = subject.chat([{"role": "user", "content": study.chat_prompt.format(question=question.text)}])
ids = prompt + response.ids
print(subject.tokenizer.convert_ids_to_tokens(ids))

# %% [markdown]
# `subject.hooked` calls back at every layer with $z$ (`post`) and with $h$ (`mlp_out`) while the model reads.

# %%
post, mlp_out = {}, {}
with subject.hooked(post=post.__setitem__, mlp_out=mlp_out.__setitem__):
    subject.hidden(*subject.padded([ids], "right"))
post[0].shape, mlp_out[0].shape  # batch, position, neuron; batch, position, d_model

# %% [markdown]
# **Exercise: CETT** (10 minutes, difficulty 1 of 3). Write the formula for one neuron at one token. `z` is a number; `column`,
# `h` and `stream`, the residual stream after the layer, are vectors. You may not need them all.
#
# <details><summary>Hint</summary>The length of a vector v is <code>v.norm()</code>. What happens if z is negative? And relative
# to what does the paper measure the write?</details>


# %% tags=["exercise"]
def cett(z, column, h, stream):
    """Length of one neuron's write at one token, relative to the length of its layer's output."""
    return (z * column).norm() / h.norm()


check("CETT", cett)

# %% [markdown]
# One neuron, one token, all numbers on the table. The token is the first one of the answer.

# %%
layer, neuron, token = subject.n_layers // 2, 7, len(prompt)
z, h = post[layer][0, token, neuron], mlp_out[layer][0, token]
column = subject.weight(layer, "down")[neuron]
print(f"z = {z:.4f}, |column| = {column.norm():.4f}, so the write is {abs(z):.4f} x {column.norm():.4f} long;")
print(f"|h| = {h.norm():.4f}, so the contribution is {abs(z) * column.norm():.6f} / {h.norm():.4f}")
print(f"contribution by hand: {cett(z, column, h, stream=None):.6f}")

# %% [markdown]
# The package computes the same for all neurons of the layer at once. If the two numbers differ, something is wrong.

# %%
by_package = contribution(post[layer][0, token], subject.w_out_norm[layer], h)
print(f"contribution by package: {by_package[neuron]:.6f}")
print(f"all {subject.d_mlp} neurons of this layer sum to {by_package.sum():.1f}")

# %% [markdown]
# They sum to far more than 1, because writes point in many directions and mostly cancel. A contribution is a *size*: it
# says neither which way a neuron pushes nor whether the push matters for the answer. Dividing by $h$, the layer's
# own output, and not by the residual stream is the paper's choice; a small mistake here is easy to make.
#
# ## From tokens to one number per answer
#
# An answer has several tokens, and answers differ in length. So a neuron's contributions are averaged over the answer's
# tokens; for comparison, also over all other tokens.
#
# **Exercise: pooling over the answer** (10 minutes, difficulty 1 of 3). From contributions `[pos, neuron]` and the positions of
# the answer, compute the mean over the answer and the mean over everything else.
#
# <details><summary>Hint</summary>A list of positions indexes a tensor: <code>values[[3, 4]]</code>. "Everything else" must not
# hold the answer again.</details>


# %% tags=["exercise"]
def pooled(values, answer):
    """Mean contribution [neuron] over the answer's positions, and over all others."""
    other = [i for i in range(len(values)) if i not in answer]
    return values[answer].mean(0), values[other].mean(0)


check("pooling over the answer", pooled)

# %% [markdown]
# Now the contributions at all tokens, for the twelve neurons that say most at the answer (framed).

# %%
everywhere = torch.stack([contribution(post[i][0], subject.w_out_norm[i], mlp_out[i][0]) for i in post], dim=1)
at_answer = [len(prompt) + i for i in answer_positions(subject, response.ids)]
loudest = pooled(everywhere.flatten(1), at_answer)[0].topk(12).indices.tolist()
gallery.publish(
    plots.token_heat_map(
        subject.tokenizer.convert_ids_to_tokens(ids),
        everywhere.flatten(1).T[loudest].cpu().numpy(),
        [plots.neuron_name(j, subject.d_mlp) for j in loudest],
        at_answer,
        f"Twelve neurons that write most at the answer to one question: “{question.text}” “{response.text}” (framed; n = 1)",
    ),
    "contributions_at_tokens",
)

# %% [markdown]
# ## Ten answers each, judged and filtered
#
# One sample says little: a model may be right by luck. The paper keeps a question only if **all ten** answers are right
# or **all ten** are wrong, with no abstention. The answer that is then read out is the most frequent one. `hn.collect`
# does all of this, and keeps its results on disk under a key of everything that determines them.

# %%
collected = hn.collect(subject)
collected.table

# %% [markdown]
# Look at what the filter throws away, and remember it later: whatever we find is found on answers that were right, or
# wrong, ten times out of ten. Questions that the model half knows, the interesting middle, are gone.
#
# > **Predict first.** How does the share of wrong answers depend on how often a fact was read?

# %%
if "exposure" in standard[0].strata:  # hardly any real model's training text has been counted
    display(gallery.publish(plots.exposure(collected), "exposure_and_truth"))

# %% [markdown]
# That is a ground truth that hardly any study of a real model has: exposure, counted. Hallucination in this model is first of all
# a matter of what it read.
#
# Train, validation and test share no person, or a probe could simply remember names. Facts about pets are
# kept out of the probe's training, so that they can test whether a probe has learnt more than its own topics.

# %%
rows = {
    split: Counter(e.label for e in collected.kept if e.question.split == split and e.question.part == "standard")
    for split in ("train", "validation", "test")
}
pd.DataFrame(rows).rename(index={0: "consistently right", 1: "consistently wrong"})

# %% [markdown]
# ## Capture
#
# For every kept question the model reads prompt and answer once more, and each neuron's contribution is averaged over
# *regions*: the **answer** tokens; all **other** tokens, template included, as in the paper; and, our addition, the one
# position **before** the answer, where the decision falls; and **body**, the other tokens without the very first, for a
# check in [what else could it be](deeper/what_else.ipynb). Averages are taken inside the forward pass, so that memory
# does not grow with the text.

# %%
for region, read in collected.contributions.regions.items():
    size = f"{100 * read.mean().mean():.2f} % of the layer's output"
    print(f"{region:7} {read.shape[0]} examples, {read.shape[1]:,} neurons, mean contribution {size}")

# %% [markdown]
# ## What this does not show
#
# * **No neuron has been found yet**, and a difference in contribution would not be a cause.
# * The alias rule judges strings. A reply that names the truth in order to deny it would count as right. For answers of
#   three words, as here, that does not happen; for a chatty model it would.
# * The filter keeps the extremes. Detection on them is easier than on everyday answers.
# * A made-up world has no synonyms, no disputed facts, no facts that change.
#
# ## Try it
#
# Change the name or the question. Can you find a person about whom it is wrong in ten different ways?

# %%
text = standard[len(standard) // 2].text
print(text)
prompt = subject.chat([{"role": "user", "content": study.chat_prompt.format(question=text)}])
Counter(answer.text for answer in subject.generate([prompt], study.sampling, seed=1)[0])
