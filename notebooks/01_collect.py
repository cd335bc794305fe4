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
# # 1 · Collect: true answers, made-up answers, and what every neuron writes in them
#
# **A language model gives some answers truthfully every time and makes up others every time. We collect both kinds from one
# model, drop everything in between, and record what each MLP neuron contributes to the answer.** The claim on the way: facts
# that were seldom read are made up more often. Of neurons nothing is claimed yet.
#
# After it you can
# * say what a *neuron* and its *contribution* (CETT) are, and compute one by hand;
# * read any activation with TransformerLens, by the name of its hook point;
# * explain the paper's consistency filter, and what it throws away.
#
# About 20 minutes to read, 1 to run (seconds the second time), 20 for the exercises. The paper: Gao et al., *H-Neurons*,
# [arXiv 2512.01797](https://arxiv.org/abs/2512.01797), sections 2 and 6.1. Words: [glossary](glossary.md).

# %% [markdown] tags=["solutions"]
# *Exercises show a solution here. [The copy with gaps](exercises/01_collect.ipynb) leaves it to you.*

# %% [markdown]
# ## The model and its world
#
# `hn.load()` loads the model to be studied, and with it the *study*: which questions, which settings. By default
# that is the bundled **organism** (the environment variable HN_STUDY names another): a Llama-type model of 2.2 million parameters, trained from nothing on a made-up world.
# It has read about 4,000 invented people, each fact about the famous hundreds of times, each about the obscure a few times or never. We wrote
# every sentence that it has read, so we know what is true and what it could have learnt.

# %%
from collections import Counter

import numpy as np
import pandas as pd
import torch

import hn_utils as hn
from hn_utils import analyses
from hn_utils.answers.judges import judge
from hn_utils.answers.sampling import sample_responses
from hn_utils.answers.spans import answer_positions
from hn_utils.contributions.cett import contribution, token_contributions
from hn_utils.course.exercises import check, debrief, yours
from hn_utils.models.generation import generate
from hn_utils.questions.question_sets import load_questions
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery

subject = hn.load()
study = subject.study
gallery = Gallery(study, "01_collect")
print(f"{study.name}: {subject.n_layers * subject.d_mlp:,} neurons")
print("\n".join(subject.checked))

# %% [markdown]
# Each question is about one fact. Its *aliases* are the accepted answers, its *entity* is whom it is about. *Strata* hold what else is
# known, such as `exposure`: how often pre-training stated that very fact. Its *part* says what it is for: *standard*, to
# learn from and to be tested on; the others are further test sets: the same
# facts in other words (*paraphrase*), a kind of fact that the probe never sees (*attribute*), people nobody wrote about (*nonexist*).

# %%
questions = load_questions(study)
print(len(questions), "questions,", dict(Counter(q.part for q in questions)))
questions[0]

# %% [markdown]
# We ask about somebody famous, somebody obscure, and somebody who is in the world but in no text. `sample_responses` draws ten answers as the
# paper does: temperature 1, top-k 50, top-p 0.9.
#
# > **Predict first.** For which of the three will all ten answers be the same?

# %%
prediction = ""  # write yours here

standard = sorted((q for q in questions if q.part == "standard"), key=lambda q: -q.strata.get("exposure", 0))
rarest = [q for q in standard if q.strata.get("exposure") != 0][-1]
trio = [standard[0], rarest, *[q for q in questions if q.part == "nonexist"][:1]]
sampled = sample_responses(subject, trio, study)
for question, answers in zip(trio, sampled, strict=True):
    known = f"exposure {question.strata.get('exposure', 'unknown')}; truth: {', '.join(question.aliases[:1]) or 'none'}"
    print(f"\n{question.text}   ({known}); most frequent of ten:")
    for text, count in Counter(a.text for a in answers).most_common(4):
        print(f"  {count:2} x {text:24} {judge(text, question.aliases)}")

# %% [markdown]
# The judge is a rule: an accepted answer stands in the response, however it is spelt (*right*), the response declines (*abstained*), or
# neither (*wrong*); a response that ran into its length limit is *cut*. A fluent, false answer is what this course calls a *hallucination*. What a prediction should have considered: to
# agree with oneself is no sign of truth. A model may be wrong ten times in ten ways, or ten times in the same way.
#
# ## What a neuron is, and what it contributes
#
# A transformer's *residual stream* is one vector per token, to which every layer adds. The *MLP* of a layer computes what to add in
# two moves. First it turns the stream into $d_{mlp}$ numbers; each entry $z_j$ is one **neuron**: how strongly it fires at this token.
# Then it adds up one fixed vector per neuron, its column of $W_{down}$, weighted by $z_j$:
#
# $$z = \mathrm{act}(W_{gate}\,x) \odot (W_{up}\,x), \qquad h = W_{down}\,z = \sum_j z_j\,W_{down}[:, j].$$
#
# So a neuron's *write* is $z_j W_{down}[:, j]$. The paper asks how long that write is, compared with the layer's whole output. It
# calls this **CETT**; we call it the *contribution*:
#
# $$\mathrm{CETT}_j = \frac{|z_j|\;\lVert W_{down}[:, j] \rVert}{\lVert h \rVert}.$$
#
# ## Reading a model with TransformerLens
#
# `subject.bridge` is a [TransformerLens](https://github.com/TransformerLensOrg/TransformerLens) model: every place where something can
# be read or changed has a name, the same in every architecture. `run_with_cache` runs the model once and keeps what passed each
# *hook point*. We need two: `blocks.{layer}.mlp.hook_post` is $z$, `blocks.{layer}.mlp.hook_out` is $h$. (Give it token ids, so that no
# begin token is added twice.)

# %%
question, response = trio[0], sampled[0][0]
prompt = subject.encoder.encode_chat([{"role": "user", "content": study.chat_prompt.format(question=question.text)}])
ids = prompt + response.ids
tokens = subject.encoder.tokenizer.convert_ids_to_tokens(ids)
with torch.inference_mode():
    logits, cache = subject.bridge.run_with_cache(torch.tensor([ids], device=subject.device))
layer = subject.n_layers // 2
z, h = cache[f"blocks.{layer}.mlp.hook_post"][0], cache[f"blocks.{layer}.mlp.hook_out"][0]
print(tokens, z.shape, h.shape)  # position, neuron; position, d_model

# %% [markdown]
# The package reads the same hook points, `subject.hooked(post=..., mlp_out=...)`, without keeping everything else. The same bits?

# %%
post, mlp_out = {}, {}
with subject.hooked(post=post.__setitem__, mlp_out=mlp_out.__setitem__):
    subject.final_hidden(*subject.encoder.pad([ids], "right", subject.device))
print("z:", torch.equal(z, post[layer][0]), "  h:", torch.equal(h, mlp_out[layer][0]))

# %% [markdown]
# **Exercise: CETT** (5 minutes, difficulty 1 of 3). The formula for one neuron at one token. `z` is a number; `column`, `h` and
# `stream`, the residual stream after the layer, are vectors. You may not need them all.
#
# <details><summary>Hint</summary>The length of a vector v is <code>v.norm()</code>. What if z is negative?</details>


# %% tags=["exercise"]
def cett(z, column, h, stream):
    """Length of one neuron's write at one token, relative to the length of its layer's output."""
    return (z * column).norm() / h.norm()


check("CETT", cett)

# %% [markdown]
# One neuron at the first token of the answer, all numbers on the table:

# %%
cett = yours("CETT", cett)
neuron, token = 7, len(prompt)
column = subject.W_out(layer)[neuron]
print(f"z = {z[token, neuron]:.4f}, |column| = {column.norm():.4f}, |h| = {h[token].norm():.4f}")
by_package = contribution(z[token], subject.w_out_norm[layer], h[token])
print(f"yours {cett(z[token, neuron], column, h[token], None):.6f}; the package's {by_package[neuron]:.6f}")
print(f"all {subject.d_mlp} neurons of this layer sum to {by_package.sum():.1f}")

# %% [markdown]
# The sum may exceed 1 by far: writes point in many directions and mostly cancel. A contribution is a *size*. It says neither which way a
# neuron pushes nor whether the push matters for the answer.
#
# An answer has several tokens. So a neuron's contributions are averaged over them; for comparison, also over all other tokens.
#
# **Exercise: pooling over the answer** (5 minutes, difficulty 1 of 3). From contributions `[pos, neuron]` and the positions of the
# answer, compute the mean over the answer and the mean over everything else.
#
# <details><summary>Hint</summary>A list of positions indexes a tensor: <code>values[[3, 4]]</code>.</details>


# %% tags=["exercise"]
def pooled(values, answer):
    """Mean contribution [neuron] over the answer's positions, and over all others."""
    other = [i for i in range(len(values)) if i not in answer]
    return values[answer].mean(0), values[other].mean(0)


check("pooling over the answer", pooled)

# %% [markdown]
# The heat maps show a true and a made-up answer (framed), and the eight neurons that write most at the two, at every token from where
# the two questions part:

# %%
pooled, everyone = yours("pooling over the answer", pooled), np.arange(subject.n_layers * subject.d_mlp)
drawn, shown = [(q, answer) for q, answers in zip(trio, sampled, strict=True) for answer in answers], []
for verdict in ("right", "wrong"):
    asked, said = next((one for one in drawn if one[1].verdict == verdict), drawn[0])
    begun = subject.encoder.encode_chat([{"role": "user", "content": study.chat_prompt.format(question=asked.text)}])
    (values,) = token_contributions(subject, [begun + said.ids], everyone)
    words = subject.encoder.tokenizer.convert_ids_to_tokens(begun + said.ids)
    places = answer_positions(subject.encoder, said.ids)
    name = f"“{asked.text}” “{said.text}”"
    shown.append(plots.AtTokens(name, words, values, [len(begun) + place for place in places]))
gallery.publish(plots.token_heat_maps(*shown, subject.d_mlp), "contributions_at_tokens")

# %% [markdown]
# ## Ten answers each, judged and filtered
#
# One sample says little: a model may be right by luck. The paper keeps a question only if **all ten** answers are right or **all ten**
# are wrong. The most frequent wording is then run through the model again.
#
# **Exercise: the consistency filter** (10 minutes, difficulty 2 of 3). `verdicts` holds a list for each question, with a word for each
# draw: right, wrong or abstained. Return a dict with the label of each question that is kept, by its place: 0 for true, 1 for made up.
#
# <details><summary>Hint</summary><code>set(draws)</code> holds each word once. What becomes of ten abstentions?</details>


# %% tags=["exercise"]
def consistent(verdicts):
    """Label of each question that is kept, by its place: 0 if all its draws are right, 1 if all are wrong."""
    return {i: int("wrong" in draws) for i, draws in enumerate(verdicts) if set(draws) in ({"right"}, {"wrong"})}


check("the consistency filter", consistent)

# %% [markdown]
# `hn.collect` asks, judges and filters, and keeps its results on disk under a key of everything that determines them.

# %%
collected = hn.collect(subject)
mine = yours("the consistency filter", consistent)([[r.verdict for r in draws] for draws in collected.responses])
kept = {i: example.label for i, example in enumerate(collected.examples) if example.label is not None}
print(f"you keep {len(mine):,} questions, the package {len(kept):,}; alike {len(mine.items() & kept.items()):,}")
collected

# %% [markdown]
# Look at what is dropped, and remember it: whatever we find is found on answers that were right, or wrong, ten times out of ten. The
# questions that a model half knows, or once declines to answer, are gone.
#
# > **Predict first.** How does the share of wrong answers depend on how often a fact was read?

# %%
prediction = ""

if "exposure" in standard[0].strata:  # hardly any real model's training text has been counted
    display(gallery.publish(plots.exposure(collected), "exposure_and_truth"))
    print(debrief(prediction, analyses.told_by_exposure(collected)))

# %% [markdown]
# What a prediction should have considered: a fact that was never stated can still be guessed, from
# what the family or the town has. Hardly any study of a real model has this ground truth.
#
# Train, validation and test share no person, or a probe could simply remember names.

# %%
rows = {
    split: Counter(e.label for e in collected.kept if e.question.split == split and e.question.part == "standard")
    for split in ("train", "validation", "test")
}
pd.DataFrame(rows).rename(index={0: "consistently right", 1: "consistently wrong"})

# %% [markdown]
# ## Capture
#
# For every kept question the model reads prompt and answer once more, and each neuron's contribution is averaged over *regions*: the
# **answer** tokens, and all **other** tokens, template included, as in the paper. (Two more are there for the checks in [what else could it
# be](deeper/what_else.ipynb).) Your two functions on one example, beside the row that the package keeps, a few neurons of one layer:

# %%
example, some = collected.kept[0], range(0, subject.d_mlp, 16)
with torch.inference_mode():
    _, cache = subject.bridge.run_with_cache(torch.tensor([example.ids], device=subject.device))
z, h = (cache[f"blocks.{layer}.mlp.{name}"][0].float().cpu() for name in ("hook_post", "hook_out"))
columns = subject.W_out(layer).cpu()
values = torch.tensor([[cett(z[t, j], columns[j], h[t], None) for j in some] for t in range(len(z))])
mine = pooled(values, example.answer)[0].numpy().astype(np.float16)  # as precise as they are kept
theirs = collected.contributions.at("answer").columns(layer * subject.d_mlp + np.array(some))[0]
print(f"the same to the last digit kept: {(mine == theirs).sum()} of {len(some)} neurons")
print(f"largest difference {np.abs(mine - theirs).max():.1e}, of contributions up to {theirs.max():.3f}")

# %% [markdown]
# ## What this does not show
#
# * **No neuron has been found yet**, and a difference in contribution would not be a cause.
# * The alias rule judges strings. Of a talkative model, a reply that names the truth in order to deny it would count as right.
# * The filter keeps the extremes. Notebook 2 reads everyday answers as well.
#
# **What a real model needs:** a judge for answers in many words, marks for where the answer stands in them, and thousands of questions,
# since most are dropped. Exposure will be unknown.
#
# ## Try it
#
# Change the name or the question. Can you find a person about whom it is wrong in ten different ways?

# %%
text = standard[len(standard) // 2].text
print(text)
prompt = subject.encoder.encode_chat([{"role": "user", "content": study.chat_prompt.format(question=text)}])
Counter(answer.text for answer in generate(subject, [prompt], study.sampling, seed=1)[0])
