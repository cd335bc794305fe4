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
# # A real model: from its answers to one intervention
#
# **Do a few MLP neurons of Qwen2.5-Coder-1.5B (four bits) tell its made-up answers about the real world from its true ones, and does turning them
# up make it repeat a false note? We read shipped answers that came out alike in ten of ten draws, and set each number beside what the same
# procedure picks when right and wrong are shuffled.**
#
# After it you can
# * take a model that somebody else made through the steps of notebooks 1 to 3;
# * read a probe beside shuffled labels, words and confidence, and on kinds of fact that it never saw;
# * say what a null would have seen.
#
# About 20 minutes to read. `make real` fetches the model and runs this in some 20 minutes on two cores after the download. Words:
# [glossary](glossary.md).

# %%
import json
from dataclasses import asdict

import hn_utils as hn
from hn_utils.course import real
from hn_utils.course.exercises import debrief
from hn_utils.questions.question_sets import load_items
from hn_utils.report.gallery import Gallery
from hn_utils.storage.progress import tell

study = hn.load_study()  # the one that HN_STUDY names
gallery = Gallery(study, "05_a_real_model")
saved = gallery.folder / "answers.parquet" if real.is_fresh() else real.shipped_answers(study)

# %% [markdown]
# ## The model
#
# The bundled models read a made-up world. This one read code and a part of the internet. Its weights were rounded to about four bits, so that
# they fit on a laptop: what is found here is found in *this file*, not in the model as it was published. It is downloaded once, then
# unpacked once, in a minute or two. If it is not here yet, loading says in one sentence how to fetch it.

# %%
print(real.downloaded(study))
model = hn.load(study)
print(f"{model.n_layers} layers of {model.d_mlp:,} neurons: {model.n_layers * model.d_mlp:,}")

# %% [markdown]
# ## How it is asked
#
# [14,513 facts](../data/real_world/README.md) of 60 kinds are asked, each several times at temperature 1. The prompt was chosen by accuracy
# alone, on facts that are asked nowhere else. All of that [was written down](../data/qwen2.5-coder-1.5b/README.md) before the first probe.
#
# To ask takes hours, so the answers are shipped. With `HN_FRESH=1` they are collected anew; then the next cell first tells how long it will take.
# (Where no answers of your model are shipped, the first cell says so.)

# %%
print(f"user: {study.chat_prompt}   ({study.sampling.n} draws)")
if real.is_fresh():
    tell(real.asking_told(hn.plan(study)))  # in the terminal, before the hours begin
    hn.collect(model).save(saved)

# %% [markdown]
# > **Predict first.** To what share of the questions is every draw right? To what share is every draw wrong?

# %%
prediction = ""  # write yours here

answers = real.read_answers(saved)
shares = answers[answers["part"] == "standard"]["verdict"].value_counts(normalize=True)
print(debrief(prediction, ", ".join(f"{verdict} {share:.0%}" for verdict, share in shares.items())))

# %% [markdown]
# Read some. Which wrong ones would have fooled you? A wrong answer of the right kind, given each time, is what the paper calls a
# hallucination. The rest is left out: a model that wavers has told already that it does not know.

# %%
some = answers[answers["verdict"].str.endswith("each time")].groupby("verdict").head(5)
for row in some.sort_values("verdict").itertuples():
    print(f"{row.verdict:16} {row.question}  ->  {row.drawn[0]}   (accepted: {row.accepted})")

# %% [markdown]
# ## What each neuron contributes
#
# Contributions are not shipped: every answer has one for each neuron at four regions, 2 MB in all. The model reads some ten answers a
# second on two cores, so a part must do: at most 1,000 right and 1,000 wrong ones of the standard questions, split by entity as they
# were, and of four kinds of fact that were held out before anything was asked. That takes about four minutes and 5 GB in
# `data/cache`; a smaller `n_kept` takes less, `n_kept=None` reads all.

# %%
held_out = [part for part in ("standard", "attribute") if part in set(answers["part"])]
collected = hn.Collected.load(saved, model, n_kept=1_000, only=held_out)
print(collected.headline)

# %% [markdown]
# ## The probe
#
# An L1 probe is fitted on training entities, its strength chosen on validation entities, and read once on test entities. Then the
# whole procedure is repeated 100 times on shuffled labels, in two forms. That is what takes the time: one to three minutes. It grows with the
# answers (`n_kept`), with how many neurons the probe keeps, and a little with the strengths that are tried
# (`hn.find(collected, n_grid=10)` tries half of them). With less of either, another probe may be chosen; the number of shuffles stays.
#
# > **Predict first.** How many neurons of all these will it keep? Will they beat what shuffled labels pick? The answer's words? The
# > model's own confidence?

# %%
prediction = ""

found = hn.find(collected)
found.card.save(gallery.folder / "h_neurons_of_a_part.json")
print(debrief(prediction, found.headline))

# %%
gallery.publish(found.plot(), "real_detection")

# %%
print(real.beside_rivals(found))
print(real.whole_run(study))

# %% [markdown]
# What a prediction should have considered:
#
# * An answer that is right in ten of ten draws was nearly always given with high probability. On answers filtered like that, confidence is hard to beat.
# * What shuffled labels pick need not stand at 0.5. These neurons are refitted on the true labels, and many neurons tell a little. To
#   beat their mean is one thing; the rank asks how many of the sets reach as much.
# * Which answer was given tells something by itself: some answers are usually wrong.
# * Where two are *not told apart*, look at the bracket: a smaller difference may be there.
#
# ## Kinds of fact that it never saw
#
# Airlines, paintings, products and stars were asked about in no training question. A probe that had learnt what such answers look like would
# fail here.
#
# > **Predict first.** Does detection hold, beside the same four rivals?

# %%
prediction = ""

told = [real.beside_rivals(found, part) for part in held_out[1:]] or ["no kinds of fact were held out"]
print(debrief(prediction, told[0]))

# %% [markdown]
# ## Turned up
#
# A note names a wrong answer, of the right kind, and the model is asked for the fact. Only facts count that it knows without the note.
# The neurons are ablated (alpha 0), left alone (1), or three times as strong (3). Beside them stand ten sets that shuffled labels
# pick and ten random ones, each turned so far that it disturbs as much.

# %%
notes = [asdict(item) for item in load_items(study) if item.behaviour == "misleading_context"]
notes = notes or [asdict(item) for item in load_items(study) if item.claim]  # a set of questions may have no notes
print("\n".join(notes[0]["turns"]), f"\n(truth: {notes[0]['truth']}; claim: {notes[0]['claim']})")

# %% [markdown]
# > **Predict first.** With eight notes, how much more often must the model give in before anyone could tell?

# %%
prediction = ""

few = {"n_items": 8, "n_control_sets": 10, "n_graded_sets": 10, "alphas": (0.0, 1.0, 3.0)}
turned = hn.dose_response(model, found, notes, **few)
print(debrief(prediction, turned.headline))
gallery.publish(turned.plot(), "real_dose_response")

# %%
print(real.verdicts_told(turned))

# %% [markdown]
# So few notes cannot decide it: whole replies change rarely. And ten sets of a kind can settle a null, but no finding: among forty a rank could
# (`n_control_sets=40`, up to four times the minutes). The graded outcome sees smaller effects. It is how much likelier the claim is than the truth, in
# nats, without a judge. A slope above 0 means that the claim gains as the neurons are turned up.

# %%
turned.graded_table

# %% [markdown]
# What a prediction should have considered: with eight items one reply more is 12 points. The whole run asks 40 of each
# kind, at seven alphas, with as many control sets as a verdict needs.
#
# ## What this does not show
#
# * Four bits, one model, short answers. Another quantisation may have other neurons.
# * Only answers that came out alike ten times were read. [Everyday answers](02_probe.ipynb) are harder.
# * A part of the answers was read. The card in `data/` is of the whole run; this notebook's own stands in `runs/`.
# * Where it comes from is not asked: no base model of this file is at hand.
# * Detection is not cause, and a null is a null down to the size that would have been seen.
#
# ## Try it
#
# Ask what you like, with the neurons turned up. Beside it stand as many random neurons of the same layers, at the same alpha: they are
# quieter.

# %%
question = "What is the capital of Australia?"
beside = found.random["layer"][0].neurons
for alpha in (0, 1, 3, 10):
    for name, neurons in (("H-Neurons", found.neurons), ("random", beside)):
        with model.scaled(neurons, alpha):
            reply = model.ask(study.chat_prompt.format(question=question), max_new_tokens=20)
        print(f"alpha {alpha:2}  {name:9}  {json.dumps(reply, ensure_ascii=False)}")
