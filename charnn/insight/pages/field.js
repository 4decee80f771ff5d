// The text of the live page: its characters, its text field, and the history for undo and redo.

const LIMIT = 20000;  // characters
const characters = Array.from(data.characters), ids = new Map(characters.map((character, id) => [character, id]));

// --- the text and its field ---
const field = at("text");
let text = [], ended = false;  // the characters; whether the model drew the end of the document
let version = 0, writing = "", kind = "", changed = 0;  // writing: "one" text, or "several"
const past = [], future = [];  // the texts for undo and redo

// A text field cannot show control and format characters, and some of them reorder the text around
// them. So the field shows other characters in their place.
const standIns = new Map(), meant = new Map();
let free = 0xe000;
for (const character of characters) {
  if (!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(character) || "\n\t\u200c\u200d".includes(character)) continue;
  let other = character === "\r" ? "¬" : String.fromCodePoint(character < " " ? 0x2400 + character.codePointAt(0) : free++);
  while (ids.has(other)) other = String.fromCodePoint(free++);
  standIns.set(character, other);
  meant.set(other, character);
}
const fieldText = list => list.map(character => standIns.get(character) ?? character).join("");

// Returns the characters in the field, without invisible ones that the model does not know.
function written() {
  const known = field.value.replace(/\p{Cs}|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, c => ids.has(c) && c !== boundary || "\n\t\u200c\u200d".includes(c) ? c : "");
  return Array.from(known, character => meant.get(character) ?? character).slice(0, LIMIT);
}

const caret = () => Array.from(field.value.slice(0, field.selectionStart)).length;

function fill(place = text.length) {
  const value = fieldText(text);
  if (field.value !== value) field.value = value;
  const offset = fieldText(text.slice(0, place)).length;
  field.setSelectionRange(offset, offset);
}

const spans = [];
function layOut(from) {
  for (const span of spans.splice(from)) span.remove();
  for (let place = from; place < text.length; place++) {
    const character = text[place], span = element("span", {}, standIns.get(character) ?? character);
    span.dataset.place = place;
    if (character === "\n") span.className = "line-end";
    if (!ids.has(character)) span.className = "unknown";
    spans.push(span);
  }
  at("spans").append(...spans.slice(from));
  at("end").hidden = !ended;
}

function same(one, other) {
  let place = 0;
  while (place < one.length && place < other.length && one[place] === other[place]) place++;
  return place;
}

// Replaces the text. Quick typing becomes one step for undo.
function change(next, what, end = false) {
  if (what !== kind || what !== "typing" || Date.now() - changed > 1000) remember(what);
  changed = Date.now();
  become(next, end);
}

function remember(what) {
  past.push({text, ended});
  if (past.length > 200) past.shift();
  future.length = 0;
  kind = what;
}

function become(next, end) {
  const from = same(text, next);
  [text, ended] = [next, end];
  layOut(from);
  places.length = Math.min(places.length, from);
  hideWays();
}

function travel(back, forth) {
  stop();
  const found = back.pop();
  if (!found) return;
  forth.push({text, ended});
  kind = "";
  become(found.text, found.ended);
  fill();
  ask();
}

field.addEventListener("input", event => {
  if (event.isComposing) return;
  stop();
  const place = caret();
  change(written(), "typing");
  if (field.value !== fieldText(text)) fill(place);
  ask();
  const strange = text.filter(character => !ids.has(character));
  if (strange.length) say("The model does not know " + [...new Set(strange)].slice(0, 5).map(visible).join(" ") + " and does not read it.");
});
field.addEventListener("compositionend", () => field.dispatchEvent(new Event("input")));

