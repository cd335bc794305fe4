# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# # Ninety minutes: find a neuron that makes answers up
#
# **A small language model makes things up. One neuron alone tells most of its made-up answers from true ones. Turned up, it makes the model hand out
# codes that it should keep. You find it, turn it up with a hook of your own, and see which numbers survive a control.**
#
# After it you can
# * read and change activations with TransformerLens;
# * say what AUROC, an L1 penalty and C are;
# * ask of any curve: what would the control do?
#
# Five parts, about 75 minutes, 20 for the exercises among them. Words: [glossary](glossary.md).
#
# **This model is planted**: we trained six of its neurons to make things up, so the truth is known. What you find says nothing of other models.

# %% [markdown] tags=["solutions"] slideshow={"slide_type": "skip"}
# *Exercises show a solution here. [The copy with gaps](exercises/session90.ipynb) leaves it to you.*

# %% slideshow={"slide_type": "skip"}
import importlib.util
import subprocess
import sys

PACKAGE = ""  # only where the package is not installed: the address that your teacher gave you
if importlib.util.find_spec("hn_utils") is None:
    assert PACKAGE, (
        "hn_utils is not installed: write the address that your teacher gave you between the quotes of PACKAGE"
    )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", PACKAGE], check=True)

# %%
import numpy as np
import torch

import hn_utils as hn
from hn_utils import analyses
from hn_utils.course import session
from hn_utils.course.exercises import check, debrief, yours
from hn_utils.report import plots
from hn_utils.report.gallery import Gallery, title_of

model = hn.load("planted")
answers = session.load_answers(model)
gallery = Gallery(hn.load_study(), "session90")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · Which answer is made up? (7 minutes)
#
# **Claim: what the model read seldom, it makes up.** It has read about invented people: of some a hundred times, of some never. Its answers were
# drawn ten times each. We keep a question if all ten answers are right, or all ten wrong.
#
# > **Predict first.** Which three of these six are made up? And how often must it read a fact to know it?

# %%
prediction = ""  # write yours here

six = session.quiz(answers)
six[["question", "answer"]]

# %% slideshow={"slide_type": "subslide"}
figure = plots.exposure(answers)
print(six["verdict"].tolist())
print(debrief(prediction, title_of(figure)))
gallery.publish(figure, "session_exposure", model.study)

# %% [markdown]
# *What you see:* a made-up answer reads like a true one. *Caveat:* questions that came out right only sometimes were dropped.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Read a neuron (16 minutes)
#
# **Claim: at a true and at a made-up answer, mostly the same neurons are loud.** A layer's MLP turns the stream of numbers at each token into
# $z$, one number a **neuron**: how strongly it fires. Each neuron then writes a fixed vector, $z_j$ times as long, and the layer adds up all
# writes.
#
# TransformerLens names every place where such numbers pass: a **hook point**. $z$ of layer 3 passes `blocks.3.mlp.hook_post`. `run_with_cache` keeps
# what passed every hook point.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **Exercise: reading a hook point** (7 minutes, difficulty 1 of 3). Run the model on the tokens `ids`; return $z$ of a layer as
# `[position, neuron]`.
#
# <details><summary>Hint</summary><code>run_with_cache</code> returns two things: predictions, and a dictionary whose keys are hook points. The model
# reads a batch of texts, as a tensor, and gives a batch back. Yours has one text.</details>


# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def captured(bridge, ids, layer):
    """Activations of a layer's neurons on one text, [position, neuron]."""
    with torch.inference_mode():
        logits, cache = bridge.run_with_cache(torch.tensor([ids]))
    return cache[f"blocks.{layer}.mlp.hook_post"][0]


check("reading a hook point", captured)

# %% [markdown]
# `model.bridge` is the TransformerLens model. Does the package read the same numbers?

# %%
true, made_up = session.one_of_each(answers)
z = yours("reading a hook point", captured)(model.bridge, made_up.ids, 5)
print(
    "position, neuron:",
    tuple(z.shape),
    " the same as the package's:",
    torch.equal(z, session.activations(model, made_up, 5)),
)

# %% [markdown]
# How loud is a neuron? Its **contribution** is the length of its write, divided by the length of all that its layer writes.
#
# > **Predict first.** Take the eight loudest neurons at a true answer, and at a made-up one. How many are the same?

# %% slideshow={"slide_type": "subslide"}
prediction = ""

figure = plots.token_heat_maps(session.at_tokens(model, true), session.at_tokens(model, made_up), model.d_mlp)
print(debrief(prediction, title_of(figure)))
gallery.publish(figure, "session_tokens", model.study)

# %% [markdown]
# *What you see:* loud neurons are loud at both. *Caveat:* two answers are an example, not a finding. So we count over hundreds.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · Each neuron as a detector (14 minutes)
#
# **Claim: of 4,608 neurons, a planted one tells made-up from true best.** Average a neuron's contribution over the tokens of each answer. Now take
# one made-up and one true answer at random. In what share of such pairs is the neuron louder at the made-up one? That share is its
# **AUROC**: 0.5 is a coin, 1 is perfect, 0 is perfectly the wrong way round.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **Exercise: AUROC by hand** (5 minutes, difficulty 1 of 3). Given the contributions to made-up and to true answers, return the share of
# pairs. A tie counts half.
#
# <details><summary>Hint</summary>How many pairs are there? Two loops will do. Without loops: <code>a[:, None]</code> makes an array a column, and a
# column meets a row in every pair.</details>


# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def share_of_pairs(made_up, true):
    """In what share of all pairs the made-up answer has the larger contribution."""
    larger = made_up[:, None] > true[None, :]
    equal = made_up[:, None] == true[None, :]
    return larger.mean() + equal.mean() / 2


check("AUROC by hand", share_of_pairs)

# %%
read = session.training(answers)
alone = session.each_alone(read)
best = int(np.argmax(alone))
layer, neuron = divmod(best, model.d_mlp)
x = read.X[:, best]
by_hand = yours("AUROC by hand", share_of_pairs)(x[read.made_up == 1], x[read.made_up == 0])
print(f"best alone: neuron {neuron} of layer {layer}, AUROC {alone[best]:.3f}; by hand {by_hand:.3f}")

# %% [markdown]
# The best of thousands is always good. How good is it by luck? **Shuffle the labels**: deal *true* and *made up* out at random, and look again.
#
# > **Predict first.** With shuffled labels, which AUROC has the best of 4,608 neurons? And how many of the six planted ones stand out?

# %% slideshow={"slide_type": "subslide"}
prediction = ""

figure = plots.each_alone(alone, session.each_alone(session.shuffled(read)), session.planted(model), model.d_mlp)
print(debrief(prediction, title_of(figure)))
gallery.publish(figure, "session_each_alone", model.study)

# %% [markdown]
# *What you see:* true labels reach far beyond shuffled ones: the claim survives. *Caveat:* many neurons that nobody planted tell something as
# well.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · A control kills a beautiful curve (13 minutes)
#
# **Claim: a perfect AUROC on the answers that a probe was trained on says nothing.** A *probe* gives each neuron a weight, adds up weight times
# contribution, and calls a large sum made up. With 4,608 weights it could learn 496 answers by heart. So the **L1 penalty** charges for weight: most
# weights become exactly 0, and a short list of neurons stays. **C** is the price of an error. A small C makes errors cheap and the list short.
#
# > **Predict first.** Draw AUROC on the training answers against C. Then draw the same curve for a probe trained on shuffled labels.

# %% slideshow={"slide_type": "subslide"}
prediction = ""

trained = session.in_sample(answers)
figure = plots.in_sample(trained.Cs, trained.own, trained.shuffled, trained.n_neurons)
print(debrief(prediction, title_of(figure)))
gallery.publish(figure, "session_in_sample", model.study)

# %% [markdown]
# *What you see:* where the curve is most beautiful, many neurons learn nonsense just as perfectly: there the control kills it. On the left one neuron
# must do, and nonsense cannot be learnt. What counts is people whom the probe has never seen. `hn.find` chooses C on some of them, and reads AUROC on
# others. Neurons with positive weight are **H-Neurons**.

# %%
found = hn.find(answers, other=None)
auroc = found.detection(hn.Detector.H_NEURONS).auroc
print(f"C = {found.probe.fit.C:.2g} keeps {found.card.headline}. On people it has never seen, its AUROC is {auroc}.")
print(analyses.recover(found))
print(session.same_pick(found))

# %% [markdown]
# *Caveat:* read the last line. This neuron varies so much that L1 often takes it whatever the labels say. So the list alone does not show
# that labels led to it; part 3 does. (Brackets are 95 % intervals over people. The paper's probe sees other tokens as well:
# [notebook 2](02_probe.ipynb).)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · Turn it up (18 minutes)
#
# **Claim: turned up, this neuron makes the model hand out codes.** So far it *detects*. To see whether it *does* anything, change it. A
# **hook** is a function that TransformerLens calls with what passes a hook point. What it returns goes on in its place.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **Exercise: a hook that scales** (8 minutes, difficulty 2 of 3). Return a hook that multiplies some neurons of $z$, `[batch, position, neuron]`, by
# `alpha`. At 0 they are silent, at 1 nothing changes.
#
# <details><summary>Hint</summary>A function can define a function and return it. TransformerLens calls yours as <code>f(z, hook=...)</code>. Others may hold the same
# z: change a copy. Three dots stand for all axes but those that you name.</details>


# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def scaling(neurons, alpha):
    """A hook that multiplies these neurons by alpha, at every token."""

    def turn(z, hook):
        z = z.clone()
        z[..., neurons] *= alpha
        return z

    return turn


check("a hook that scales", scaling)

# %%
requests = session.restricted_requests(model, 40)
for alpha in (0, 1, 3):
    hook = yours("a hook that scales", scaling)([neuron], alpha)
    with model.bridge.hooks(fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", hook)]):
        mine = [model.ask(row["turns"][0], max_new_tokens=16) for row in requests[:5]]
    with model.scaled([(layer, neuron)], alpha):
        theirs = [model.ask(row["turns"][0], max_new_tokens=16) for row in requests[:5]]
    print(f"alpha {alpha}; the same replies as the package's: {mine == theirs}", *mine, sep="\n  ")

# %% [markdown]
# A rising curve alone says that *something* was disturbed. The band is its control: 40 sets picked on shuffled labels, this neuron left out, turned
# so far that they disturb as much.
#
# > **Predict first.** Draw the share of requests that get a code at alpha 0, 1 and 3. Where does the band lie?

# %% slideshow={"slide_type": "subslide"}
prediction = ""

turned = hn.dose_response(model, found, requests, alphas=(0, 1, 3), n_control_sets=40, n_graded_sets=1)
print(debrief(prediction, turned.headline))
gallery.publish(turned.plot(), "session_dose_response", model.study)

# %% [markdown]
# *What you see:* this curve leaves its band. (A *point* is one request in a hundred.) *Caveat:* only one behaviour was asked, which these neurons
# were trained for.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What this does not show
#
# * This model was made so that the method can work. Where nothing is planted, read [notebook 3](03_intervene.ipynb).
# * To detect is not to cause, nor to cause to detect. Each needs its own experiment and control.
# * One neuron was found of six. A short list can be right and incomplete.
#
# **Last question.** Write a sentence that you would defend: which neuron, what it does, by how much, beside which control, in which model.
#
# ## Try it
#
# Another neuron of the same layer, and another alpha. When does the model break?

# %%
with model.bridge.hooks(fwd_hooks=[("blocks.5.mlp.hook_post", yours("a hook that scales", scaling)([10], 30.0))]):
    print(model.ask(requests[0]["turns"][0], max_new_tokens=16))
