"use strict";
// The parts that all pages share: elements, names of characters, the panel for one place, colours.

const at = id => document.getElementById(id);
const data = JSON.parse(at("data").textContent);

function element(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- names ---
const boundary = "\ud800";  // between documents
const hidden = character => /[\p{C}\p{Zl}\p{Zp}]/u.test(character);
const code = character => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const percent = p => p >= 0.0995 ? Math.round(100 * p) + " %" : p >= 0.001 ? (100 * p).toFixed(1) + " %" : "< 0.1 %";
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

// Returns a visible form of a character. Control and format characters become their code.
function visible(character) {
  if (character === "\n") return "↵";
  if (character === boundary) return "⟨end⟩";
  if (character === "\t") return "⇥";
  if (character === " ") return "␣";
  return hidden(character) ? code(character) : character;
}

// Returns a name that a screen reader can read.
const name = character => ({"\n": "line end", "\t": "tab", " ": "space"})[character] ?? visible(character);

// --- the panel: what was expected in one place ---
function row(mark, shown, p, isTrue) {
  return element("tr", isTrue ? {class: "true"} : {}, element("td", {}, mark),
    element("td", {class: "mono"}, shown), element("td", {class: "number"}, percent(p)), element("td", {}, bar(p)));
}

function bar(share) {
  const made = element("div", {class: "bar"});
  made.style.width = Math.max(100 * share, 1) + "%";
  return made;
}

function showPlace(title, surprise, caption, rows, ...below) {
  at("panel").replaceChildren(
    element("div", {class: "big mono"}, title),
    element("div", {}, surprise),
    element("table", {}, element("caption", {}, caption), ...rows),
    ...below,
  );
}

// --- colours ---
const mix = (colour, share) => `color-mix(in srgb, var(--${colour}) ${Math.round(90 * share)}%, transparent)`;
const surpriseColour = bits => mix("hot", Math.min((bits || 0) / 10, 1));
const unitColour = value => mix(value < 0 ? "negative" : "positive", Math.min(Math.abs(value), 1));
const isRare = bits => bits >= 8;

// Shows the scale beside the choice of a colour, with a label at each end.
function showScale(low, high, ...colours) {
  at("low").textContent = low;
  at("high").textContent = high;
  at("ramp").style.background = `linear-gradient(to right, ${colours.join(", ")})`;
}
const showSurpriseScale = high => showScale("0", high, "transparent", mix("hot", 1));
const showUnitScale = high => showScale("−" + high, "+" + high, unitColour(-1), "transparent", unitColour(1));
