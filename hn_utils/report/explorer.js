"use strict";
// S holds all that can be shown; `at` is the state, a place in a list for each choice; shown() is what that state shows,
// in numbers and texts. Page, saved figure and saved numbers are made from shown() alike.
const S = JSON.parse(document.getElementById("states").textContent);
const $ = id => document.getElementById(id);
let at;

// --- the state and its address ---------------------------------------------------------------------------------------
const modelOf = s => S.models[s.model], groupOf = s => modelOf(s).groups[s.group], entryOf = s => groupOf(s).items[s.question];
const NAMES = {  // what each part of an address may name, given the parts before it
  model: () => S.models.map(m => m.id),
  group: s => modelOf(s).groups.map(g => g.id),
  question: s => groupOf(s).items.map(e => e.id),
  alpha: s => modelOf(s).alphas.map(String),
  colours: s => modelOf(s).sets.map(set => set.name),
  token: s => entryOf(s).tokens.map((_, i) => String(i)),
  neuron: s => modelOf(s).neurons.map(n => n.name),
};
const USUAL = { alpha: s => modelOf(s).alphas.indexOf(1), token: s => entryOf(s).answer[0] };  // of all other parts the first

function stateAt(address) {  // null if it names anything that is not here; all parts but the model may be left out
  const state = {};
  for (const [part, names] of Object.entries(NAMES)) {
    const wanted = address.get(part), left = wanted === null && part !== "model";
    state[part] = left ? USUAL[part]?.(state) ?? 0 : names(state).indexOf(wanted);
    if (state[part] < 0) return null;
  }
  return state;
}
function addressOf(state) {
  return "#" + new URLSearchParams(Object.entries(NAMES).map(([part, names]) => [part, names(state)[state[part]]]));
}
function openingOf(model) {
  return stateAt(new URLSearchParams({ model: S.models[model].id, ...S.models[model].opening.address }));
}
let waiting;
function remember() {  // a moment later, since browsers refuse addresses that change too often
  clearTimeout(waiting);
  waiting = setTimeout(() => history.replaceState(null, "", location.href.split("#")[0] + addressOf(at)), 200);
}
function restore() {
  show(stateAt(new URLSearchParams(location.hash.slice(1))) ?? openingOf(S.opening));
}

// --- what is shown ---------------------------------------------------------------------------------------------------
function shown() {
  const m = modelOf(at), g = groupOf(at), e = entryOf(at), neuron = m.neurons[at.neuron];
  const adds = e.contributions[at.token].map((v, j) => ({ neuron: m.neurons[j].name, contribution: v, adds: v * m.neurons[j].adds }));
  return {
    address: addressOf(at),
    model: m.title, planted: m.planted, finding: m.finding,
    group: g.title, question: e.text, facts: facts(e), drawn: e.verdict ?? null,
    alpha: m.alphas[at.alpha], alphas: m.alphas,
    replies: m.sets.map((set, i) => ({ neurons: set.name, kind: set.kind, reply: e.replies[i][at.alpha][0],
      outcome: e.replies[i][at.alpha][1], outcomes: e.replies[i].map(([, outcome]) => outcome) })),
    outcomes: g.outcomes, verdict: g.verdict ?? null,
    scores: m.sets.map((set, i) => ({ neurons: set.name, answer: e.at_answer[i] })),
    scored: g.pressure ? "The probe was trained on short answers: of a whole sentence its score tells little." :
      `Score of the answer: ${m.sets.map((set, i) => `${set.name} ${signed(e.at_answer[i])}`).join("; ")}. Above 0 a probe takes it for made up.`,
    colours: m.sets[at.colours].name,
    tokens: e.tokens.map((text, i) => ({ text, answer: e.answer.includes(i), score: e.scores[at.colours][i] })),
    token: at.token,
    contributions: adds.sort((a, b) => b.adds - a.adds).slice(0, 10),
    neuron,
  };
}
function facts(e) {
  const told = [];
  if (e.truth) told.push(`Truth: ${e.truth}.`);
  if (e.claim) told.push(`Claim: ${e.claim}.`);
  if (Number.isFinite(e.exposure)) told.push(`Stated ${e.exposure} times in pre-training.`);
  if (e.confidence !== undefined) told.push(`The model gave the answer's tokens a probability of ${percent(Math.exp(e.confidence))} each, on average. ` +
    "It is the most frequent of those drawn; the replies below are greedy, and may differ.");
  return told.join(" ");
}
const quoted = words => words.map(word => `“${word}”`).join(", ");
const percent = p => Math.round(100 * p) + " %";
const signed = v => (v > 0 ? "+" : "") + v.toFixed(1).replace("-", "−");
function shade(score) {  // white to the colour of what is made up
  const p = 1 / (1 + Math.exp(-score));
  const mix = [1, 3, 5].map(i => Math.round(255 + (parseInt(S.colours["made up"].slice(i, i + 2), 16) - 255) * p));
  return `rgb(${mix.join(", ")})`;
}

// --- the page --------------------------------------------------------------------------------------------------------
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
function drawing(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text.replace(/[\ufffe\uffff]/g, "\ufffd");  // which no XML file may hold
  return element;
}
function swatch(colour, className = "swatch") {
  const mark = make("i", { className });
  mark.style.background = colour;
  return mark;
}
function chip(outcome) {
  const mark = make("span", { className: "chip", textContent: outcome });
  mark.style.background = S.colours[outcome];
  return mark;
}
function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name, i) => make("option", { value: i, textContent: name, selected: i === chosen })));
}
function show(state) {
  at = state;
  const m = modelOf(at), v = shown();
  fill($("model"), S.models.map(model => model.title), at.model);
  $("choice").hidden = S.models.length < 2;
  $("planted").hidden = !m.planted;
  $("finding").textContent = m.finding;
  fill($("group"), m.groups.map(g => g.title), at.group);
  fill($("question"), groupOf(at).items.map(e => e.text.length > 60 ? "… " + e.text.slice(-56) : e.text), at.question);
  $("text").textContent = v.question;
  $("about").replaceChildren(v.facts, ...(v.drawn ? [" ", chip(v.drawn)] : []));
  const first = openingOf(at.model);
  $("first").hidden = first.group !== at.group || first.question !== at.question;
  $("clearest").hidden = !$("first").hidden;
  $("try").textContent = m.opening.first;
  $("dose").max = m.alphas.length - 1;
  $("dose").value = at.alpha;
  $("sets").replaceChildren("Coloured by ", ...m.sets.map((set, i) => {
    const radio = make("input", { type: "radio", name: "set", checked: i === at.colours, onchange: () => { at.colours = i; showTokens(); } });
    return make("label", {}, radio, " ", swatch(S.colours[set.kind]), set.name);
  }));
  showReplies();
  showTokens();
  showContributions();
  showNeuron();
}
function showReplies() {
  const v = shown();
  $("alpha").textContent = v.alpha;
  $("dose").setAttribute("aria-valuetext", "alpha " + v.alpha);
  $("replies").replaceChildren(...v.replies.map(r => {
    const cells = r.outcomes.map((outcome, i) => {
      const cell = swatch(S.colours[outcome], "cell" + (i === at.alpha ? " now" : ""));
      cell.title = `alpha ${v.alphas[i]}: ${outcome}`;
      return cell;
    });
    const strip = make("td", { className: "tight" }, ...cells);
    strip.setAttribute("aria-label", r.outcomes.map((outcome, i) => `alpha ${v.alphas[i]}: ${outcome}`).join("; "));
    return make("tr", {}, make("td", {}, swatch(S.colours[r.kind]), r.neurons), strip,
      make("td", { className: "text", textContent: r.reply }), make("td", {}, chip(r.outcome)));
  }));
  $("outcomes").replaceChildren(...v.outcomes.map(outcome => make("span", {}, swatch(S.colours[outcome]), outcome)));
  $("verdict").textContent = v.verdict;
  remember();
}
function showTokens() {
  const v = shown();
  $("tokens").replaceChildren(...v.tokens.map((token, i) => {
    const button = make("button", { type: "button", className: "token" + (token.answer ? " answer" : ""), textContent: token.text });
    button.style.background = shade(token.score);
    button.setAttribute("aria-pressed", i === v.token);
    button.setAttribute("aria-label", `token ${i}: ${token.text}, score ${signed(token.score)}`);
    button.title = "score " + signed(token.score);
    button.tabIndex = i === v.token ? 0 : -1;
    button.onmouseenter = button.onfocus = button.onclick = () => chooseToken(i);
    return button;
  }));
  $("scores").textContent = v.scored;
  remember();
}
function chooseToken(i) {
  if (i === at.token) return;
  at.token = i;
  [...$("tokens").children].forEach((b, j) => { b.setAttribute("aria-pressed", j === i); b.tabIndex = j === i ? 0 : -1; });
  showContributions();
}
function showContributions() {
  const v = shown(), most = v.contributions[0].adds;
  $("token").textContent = v.tokens[v.token].text.trim();
  $("contributions").replaceChildren(...v.contributions.map(c => {
    const bar = swatch(S.colours.own, "fill");
    bar.style.width = width(c.adds, most) + "%";
    const button = make("button", { type: "button", className: "bar" }, c.neuron, bar,
      make("span", { className: "small", textContent: `${c.contribution} % of layer` }));
    button.setAttribute("aria-pressed", c.neuron === v.neuron.name);
    button.onclick = () => {
      at.neuron = NAMES.neuron(at).indexOf(c.neuron);
      showNeuron();
      showContributions();
      $("contributions").querySelector("[aria-pressed=true]").focus();
    };
    return button;
  }));
  remember();
}
const width = (adds, most) => most > 0 ? Math.max(0, 100 * adds / most) : 0;
function curves(neuron, wide, high) {  // how the neuron's contributions are distributed
  const highest = Math.max(...Object.values(neuron.shares).flat());
  return Object.entries(neuron.shares).map(([part, shares]) => drawing("polyline", {
    points: shares.map((v, i) => `${wide * (i + .5) / shares.length},${high - (high - 5) * v / highest}`).join(" "),
    fill: "none", stroke: S.colours[part], "stroke-width": 2.5, "vector-effect": "non-scaling-stroke", "data-part": part }));
}
const mean = (neuron, part) => `${part}: mean ${neuron.means[part]} %`;
const scale = neuron => `${neuron.top} % of the layer’s output`;
function about(neuron) {
  const told = [`Weight in the L1 probe ${neuron.weight}.`];
  if (neuron.planted) told.unshift("One of the planted neurons.");
  if (neuron.drift !== null) told.push(`Tuning turned it less than ${percent(neuron.drift)} of its layer’s neurons.`);
  return told.join(" ");
}
function showNeuron() {
  const { neuron } = shown();
  const svg = drawing("svg", { viewBox: "0 0 440 125", preserveAspectRatio: "none", role: "img",
    "aria-label": `Distribution of the contribution of ${neuron.name}` });
  svg.append(...curves(neuron, 440, 124), drawing("line", { x1: 0, x2: 440, y1: 124.5, y2: 124.5, stroke: "#222" }));
  const rows = neuron.strongest.map(([question, answer, label, value]) => make("tr", {}, make("td", { textContent: question }),
    make("td", { textContent: answer }), make("td", { className: "tight", textContent: label }), make("td", { className: "tight", textContent: value + " %" })));
  $("neuron").replaceChildren(
    make("p", {}, make("strong", { textContent: neuron.name }), " " + about(neuron)), svg,
    make("p", { className: "small ends" }, make("span", { textContent: "0" }), make("span", { textContent: scale(neuron) })),
    make("p", { className: "small key" }, ...Object.keys(neuron.shares).map(part => make("span", {}, swatch(S.colours[part]), mean(neuron, part)))),
    make("p", { className: "small", textContent: "Its write, taken alone and when it fires positively, favours " + quoted(neuron.favours) +
      "; and disfavours " + quoted(neuron.disfavours) + ". (Directly, through the unembedding.)" }),
    make("p", { className: "small", textContent: "The validation answers to which it contributes most:" }),
    make("table", {}, make("tbody", {}, ...rows)));
}

// --- saving ----------------------------------------------------------------------------------------------------------
const WIDE = 760, LINE = 20, pen = document.createElement("canvas").getContext("2d");
function measured(text, weight = "normal") {
  pen.font = `${weight} 13px system-ui, sans-serif`;
  return pen.measureText(text).width;
}
function wrapped(text, room, weight) {
  const lines = [""];
  for (const part of text.match(/\S{1,40}\s*/gu) ?? []) {
    if (measured(lines.at(-1) + part.trimEnd(), weight) > room) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.map(line => line.trim());
}
function figure(v) {  // the view as one drawing, from top to bottom; `y` is how far it has come
  const svg = drawing("svg", { xmlns: "http://www.w3.org/2000/svg", "font-family": "system-ui, sans-serif", "font-size": 13, fill: "#222" });
  let y = 10;
  const add = (tag, attributes, text) => svg.append(drawing(tag, attributes, text));
  const write = (text, attributes = {}, x = 0) => {
    for (const line of wrapped(text, WIDE - x, attributes["font-weight"])) add("text", { x, y: y += LINE, ...attributes }, line);
  };
  const head = text => { y += 10; write(text, { "font-weight": "bold" }); };
  const key = entries => {
    entries.forEach(([colour, text], i) => {
      add("rect", { x: 240 * i, y: y + 8, width: 12, height: 12, fill: colour });
      add("text", { x: 240 * i + 18, y: y + LINE }, text);
    });
    y += LINE;
  };

  if (v.planted) write("Planted model.", { "font-weight": "bold", fill: S.colours.planted });
  write(v.model, { "font-weight": "bold" });
  write(`${v.group}. ${v.question}`);
  if (v.facts) write(v.facts, { fill: "#555" });

  head(`Turned to alpha ${v.alpha}: outcome at alpha ${v.alphas.join(", ")}, and the reply`);
  const left = 220, cell = Math.min(20, 200 / v.alphas.length), reply = left + cell * v.alphas.length + 12;
  for (const r of v.replies) {
    add("rect", { x: 0, y: y + 8, width: 12, height: 12, fill: S.colours[r.kind] });
    add("text", { x: 18, y: y + LINE }, r.neurons);
    r.outcomes.forEach((outcome, i) => add("rect", { x: left + cell * i, y: y + 6, width: cell - 4, height: 15, "data-outcome": outcome,
      fill: S.colours[outcome] ?? "#fff", stroke: v.alphas[i] === v.alpha ? "#222" : "none", "stroke-width": 2 }));
    write(r.outcome ? `${r.reply} [${r.outcome}]` : r.reply, {}, reply);
  }
  key(v.outcomes.map(outcome => [S.colours[outcome], outcome]));
  if (v.verdict) write(v.verdict, { fill: "#555" });

  head(`Prompt and answer at alpha 1, coloured by the score of: ${v.colours}`);
  let x = 0;
  y += 10;
  v.tokens.forEach((token, i) => {
    const wide = measured(token.text) + 12;
    if (x + wide > WIDE && x) { x = 0; y += 28; }
    add("rect", { x: x + 1, y, width: wide, height: 22, rx: 4, fill: shade(token.score), stroke: token.answer || i === v.token ? "#222" : "#ccc",
      "stroke-width": i === v.token ? 3 : token.answer ? 2 : 1, "data-score": token.score });
    add("text", { x: x + 7, y: y + 16, "data-token": i }, token.text);
    x += wide + 5;
  });
  y += 22;
  write(v.scored, { fill: "#555" });

  head(`What the H-Neurons contribute at “${v.tokens[v.token].text.trim()}” (bars: contribution times weight; numbers: % of the layer’s output)`);
  for (const c of v.contributions) {
    add("text", { x: 0, y: y += LINE }, c.neuron);
    add("rect", { x: 90, y: y - 11, width: 5 * width(c.adds, v.contributions[0].adds), height: 13, fill: S.colours.own, "data-adds": c.adds });
    add("text", { x: 600, y }, `${c.contribution} %`);
  }

  head(`${v.neuron.name}: how its contribution is distributed over validation answers, from 0 to ${scale(v.neuron)}`);
  const panel = drawing("g", { transform: `translate(0 ${y + 10})` });
  panel.append(...curves(v.neuron, WIDE, 110), drawing("line", { x1: 0, x2: WIDE, y1: 110, y2: 110, stroke: "#222" }));
  svg.append(panel);
  y += 125;
  key(Object.keys(v.neuron.shares).map(part => [S.colours[part], mean(v.neuron, part)]));
  y += 20;
  svg.prepend(drawing("rect", { x: -20, y: 0, width: WIDE + 40, height: y, fill: "#fff" }));
  svg.setAttribute("viewBox", `-20 0 ${WIDE + 40} ${y}`);
  svg.setAttribute("width", WIDE + 40);
  svg.setAttribute("height", y);
  return svg;
}
function save(text, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// --- the controls ----------------------------------------------------------------------------------------------------
const withAnswer = state => ({ ...state, token: entryOf(state).answer[0] });
$("high").style.background = S.colours["made up"];
$("planted").style.color = S.colours.planted;
$("model").onchange = event => show(openingOf(+event.target.value));
$("group").onchange = event => show(withAnswer({ ...at, group: +event.target.value, question: 0 }));
$("question").onchange = event => show(withAnswer({ ...at, question: +event.target.value }));
$("clearest").onclick = () => show(openingOf(at.model));
$("dose").oninput = event => { at.alpha = +event.target.value; showReplies(); };
$("figure").onclick = () => save(new XMLSerializer().serializeToString(figure(shown())), "image/svg+xml", "h-neurons-view.svg");
$("numbers").onclick = () => save(JSON.stringify(shown(), null, 1), "application/json", "h-neurons-view.json");
$("tokens").onkeydown = event => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], tokens = $("tokens").children;
  if (!step) return;
  event.preventDefault();
  tokens[(at.token + step + tokens.length) % tokens.length].focus();
};
window.onhashchange = restore;
restore();
