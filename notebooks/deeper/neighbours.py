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
# # Deeper · The papers next door
#
# **Seven other papers name small parts of a language model that matter. Each method runs here on the same model and the same answers as
# the H-Neurons, and each stands beside a control: do they find H-Neurons, and would they do in their place?**
#
# Read it when a list of neurons from another method is to be compared with yours. About 30 minutes to read, 5 to run (`make deeper`).
# Words: [glossary](../glossary.md).
#
# Every section has the same five parts: what the paper claims, the method in ten lines, what its test on a *planted truth* shows, what comes
# out here, and how many of its neurons are H-Neurons. The tests stand in `tests/analyses/test_neighbours.py`; the methods, a module a paper,
# in `hn_utils/analyses/neighbours`.

# %%
import numpy as np

import hn_utils as hn
from hn_utils.analyses import neighbours
from hn_utils.report.gallery import Gallery

model = hn.load()
study = model.study
gallery = Gallery(study, "neighbours")
collected = hn.collect(model)  # from disk, if the main notebooks have run
found = hn.find(collected)
ranked_on, tested_on = neighbours.text_halves(collected)  # ordinary text about different things
lists = {}  # each neighbour's neurons, for the table at the end
print(found.headline)

# %% [markdown]
# > **Predict first.** Seven methods, seven lists of neurons. On how many of them will an H-Neuron stand? By chance, on almost none: a list
# > of ten holds one H-Neuron in a few hundred times.
#
# ## 1 · Confidence regulation
#
# **The claim** ([Stolfo et al. 2024](https://arxiv.org/abs/2406.16254)). A few neurons of the last layer make a model more or less sure
# without changing what it says. They write where the unembedding hardly reads; the residual stream grows longer, the final norm divides by
# its length, and all logits shrink together. Others shift predictions towards frequent tokens. *From public code, written anew.*
#
# **The method.** Fold the final norm's gain into the unembedding and take its bottom singular directions. *Rho* is the share of a
# neuron's write that lies in them; *LogitVar* is how unevenly it writes to the tokens. An entropy neuron is long, has little LogitVar and a
# large rho. Then set each candidate to its mean on ordinary text: the *total effect* is the change of the loss, the *direct effect* the change
# with the final scale held still. What is missing of the direct effect has passed through the scale.
#
# **Planted truth.** In a copy whose unembedding does not read one direction at all, a neuron that writes there ranks first, and its direct
# effect is zero. Random weights show none.

# %%
regulation = neighbours.find_entropy_neurons(model, ranked_on)
lists["confidence regulation"] = regulation.neurons
gallery.publish(regulation.plot(), "neighbours_confidence")

# %%
regulation

# %% [markdown]
# Two things are to be read apart. A share beyond the band says how a neuron lies to the unembedding; that the final scale carries its effect is
# another statement, and the one that makes an entropy neuron. With a bundled model of 597 tokens there is little room for any: no
# singular value is far below the others. A real model has some hundred thousand tokens, and room. The planted copy shows what would have been
# seen: a share of 1, and all of the effect through the scale.
#
# ## 2 · Achilles' heel
#
# **The claim** ([arXiv 2510.10238](https://arxiv.org/abs/2510.10238)). A handful of neurons, once silenced, takes down models of up to 72
# billion parameters, by up to twenty orders of magnitude in perplexity. *From public code, with four things changed:* there, a "neuron" is
# mostly a channel of the residual stream, a channel counts once for each position, the noise swamps any embedding, and the text on which units
# are ranked is the one on which they are tested.
#
# **The method.** Add noise to the embeddings, as large as their own spread. How much each unit's activation moves is its importance. Silence
# the most important ones, ever more of them, until the perplexity of *other* text has risen tenfold. Do the same along random orders. MLP
# neurons and residual channels are ranked apart.
#
# **Planted truth.** One row of one down projection is amplified until a model's own words cost a decade without it: it ranks first, and it
# alone takes the model down.

# %%
heel = neighbours.find_heel(model, ranked_on, tested_on)
lists["Achilles' heel"] = heel.neurons
gallery.publish(heel.plot(), "neighbours_achilles")

# %%
print(heel.headline)
print("H-Neurons in the heel:", neighbours.shared_with(heel.heel, found.neurons, heel.units.n))
print(neighbours.find_heel(model, ranked_on, tested_on, "channels").headline)

# %% [markdown]
# Where importance follows the activation's own size, noise is a long way to find what is large. (In the table at the end stand the first ten.)
#
# ## 3 · Compositional explanations
#
# **The claim** ([Mu & Andreas 2020](https://arxiv.org/abs/2006.14032)). What a neuron responds to is told better by a formula over
# concepts, such as *(water OR river) AND NOT blue*, than by any one of them. *From public code; per answer instead of per token.*
#
# **The method.** A neuron is *on* at the fifth of the answers to which it contributes most. Concepts are what this world knows of each answer:
# the kind of fact, how famous the person is, how often the fact stood in training text, whether the answer is true. A beam search joins up to
# three by OR, AND and AND NOT, for the largest overlap over union (IoU). The search keeps shorter formulas, so its own IoU can only grow: it is
# read on *other people's* answers, beside the same search for shuffled answers.
#
# **Planted truth.** A neuron that is on at (A OR B) AND NOT C is explained by that formula with an IoU of 1, still by that formula with a
# tenth of its answers turned round, and no better than chance where it is random.

# %%
explained = neighbours.explain(collected, found.neurons)
explained

# %% [markdown]
# A formula with *hallucinated* in it would be an H-Neuron in the paper's sense. One with a kind of fact is a neuron about that kind, which
# made-up answers may merely have more of.
#
# ## 4 · Good and bad neurons
#
# **A re-implementation from second-hand equations.** The official code of [NeuronLLM](https://arxiv.org/abs/2601.04548) is not public.
#
# **The claim.** Some neurons raise the chance of the right answer, others lower it; silencing the first and exciting the second breaks a
# task, the reverse helps it.
#
# **The method.** Each question is put ten times, the truth among three rivals of its kind, with other rivals each time. Integrated gradients
# at the output of the up projection, at the question's last token, one layer at a time, say how much each neuron adds to the probability of
# the truth. The top and the bottom hundredth at a question count; what is in both, at any two questions, is dropped. The ten best and the ten worst are
# kept, and turned on test questions beside random neurons of the same layers that are as loud.
#
# **Planted truth.** The gradients of a linear outcome are exact; in a model they add up to what the layer adds.

# %%
antagonists = neighbours.find_antagonists(found)
if antagonists:
    lists["good and bad"] = antagonists.neurons
    print(f"{antagonists.n_conflicting} neurons were good at one question and bad at another, and were dropped")
antagonists

# %% [markdown]
# ## 5 · Too Big to Fail
#
# **The claim** ([arXiv 2406.02830](https://arxiv.org/abs/2406.02830)). The larger a model, the larger the share of it that can be silenced
# before it breaks. *From public code, with three faults mended; the paper's numbers were not found, so none is reproduced.*
#
# **The method.** Importance is the size of the loss's gradient with respect to a factor on each attention head, or each neuron, summed over
# texts. The most important ones are silenced, ever more of them, until the perplexity of other text has risen tenfold; then the least
# important ones; then random ones.
#
# **Planted truth.** A head is split into two copies of half its strength: to silence either costs the same, and less than to silence both.

# %%
heads = neighbours.mask_by_importance(model, ranked_on, tested_on)
gallery.publish(heads.plot(), "neighbours_heads")

# %%
by_loss = neighbours.mask_by_importance(model, ranked_on, tested_on, "neurons")
lists["Too Big to Fail"] = by_loss.neurons
print(heads.headline)
print(by_loss.headline)

# %% [markdown]
# One model shows no trend with size: for that, run the two lines above on models of several widths.
#
# ## 6 · Known entities
#
# **The paper's score, and not its method:** its latents are those of a sparse autoencoder, of which there is none here.
#
# **The claim** ([Ferrando et al. 2024](https://arxiv.org/abs/2411.14257)). A model tells at the name's last token whether it knows whom it is asked about.
#
# **The method.** A neuron is on at a name if it contributes more than at 98 of 100 tokens of ordinary text. Its score is how much more often it
# is on at names that the model answers rightly about, the smallest over the kinds of question. The five best neurons for known names and
# the five best for unknown ones are read at *other* names, beside five and five that are picked on shuffled answers.
#
# **Planted truth.** A neuron that is on at known names in every kind of question is found, one that is so in one kind alone is not; where
# nothing tells, the picks tell no more than those on shuffled answers.

# %%
known = neighbours.find_known_entities(collected)
if known:
    lists["known entities"] = known.neurons
known

# %% [markdown]
# ## 7 · Pushing what answers to the name
#
# **By analogy only.** Contrastive neuron steering ([arXiv 2602.00621](https://arxiv.org/abs/2602.00621)) acts on an autoencoder's latents of
# images; formula and code are not public.
#
# **The idea.** Read a question as it is, and with noise on the name. Neurons whose write falls with the noise answer to who is asked about;
# those among the twenty strongest at every question are always on, and set aside. Push the first ten further the way in which the noise did not go,
# silence the ten that noise brings up, and see whether the truth becomes likelier. Random neurons are pushed as far.
#
# **Planted truth.** In a toy with one neuron of each kind all three are told apart.

# %%
pushed = neighbours.push_names(found)
if pushed:
    lists["pushed names"] = pushed.neurons
pushed

# %% [markdown]
# ## All together
#
# Each list beside the H-Neurons, in the same way: how many of its neurons are H-Neurons, and by chance; what it detects at the answer,
# refitted, beside as many neurons that the road to H-Neurons picks on shuffled labels; and what scaling it does to compliance, beside such
# picks. None of these lists was chosen by who is right, so detection at the answer is a hard question to ask of them.

# %%
closing = neighbours.closing_table(found, lists, n_items=10)
print(closing.headline)
closing.table

# %%
chance = np.sum([row.shared.by_chance for row in closing.rows.values()])
both = np.sum([row.shared.both for row in closing.rows.values()])
print(f"An H-Neuron stands {both} times on all lists together, by chance {chance:.2f} times")

# %% [markdown]
# Did you predict it? What a prediction should have weighed: each method asks something else. Two rank by what the loss or the noise moves, which is
# mostly how loud a neuron is; and H-Neurons are loud.
#
# ## What this does not show
#
# * Where few neurons are H-Neurons, two lists that share none are no evidence that their methods differ: with so few, chance shares none either.
# * Methods that were built for real models run here on a small one, in which much of what they describe has no room. Nothing here
#   says that their papers are wrong.
# * A list of ten is cut from a ranking. Another length would give another overlap.
# * Seven methods are seven looks at the same people. The overlaps are corrected for that; the other columns are not.

# %% [markdown]
# > **Try it.** Put a list of your own into `lists`, as pairs of layer and neuron, and run the last cells again.
