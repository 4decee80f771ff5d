// The live page: the model in a worker, its writing, and the panel for one place.

// --- the model, in a worker ---
const places = [];  // the worker's message for each place
const worker = new Worker(URL.createObjectURL(new Blob([at("worker").textContent], {type: "text/javascript"})));
worker.postMessage({spec: data, weights: at("weights").textContent});
worker.onmessage = ({data: message}) => {
  if (message.error) fail(message.error);
  else if (message.version !== version) return;
  else if (message.number === undefined) receive(message);
  else showWay(message);
};
worker.onerror = event => fail(event.message);

function fail(reason) {
  finish();
  say(`Error: ${reason}.`);
}

function ask(more = {}) {
  version += 1;
  worker.postMessage({version, ids: text.map(character => ids.get(character) ?? -1), chosen, ...more});
  show();
}

function receive({from, places: found, done, speed}) {
  const follows = field.selectionStart === field.value.length, box = at("editor");
  const before = text.length, atBottom = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
  const drawn = found.slice(Math.max(0, before - from)).filter(one => one.id !== undefined);
  places.length = from;
  for (const one of found) places.push(one);
  if (drawn.at(-1)?.id === data.boundary) {
    ended = true;
    drawn.pop();
  }
  if (drawn.length) {
    text = text.concat(drawn.map(one => characters[one.id]));
    field.setRangeText(fieldText(text.slice(before)), field.value.length, field.value.length, follows ? "end" : "preserve");
  }
  layOut(before);
  paint(from);
  if (atBottom) box.scrollTop = box.scrollHeight;
  if (writing === "one" && done) {
    const count = text.length - past.at(-1).text.length;
    finish();
    say(`Wrote ${count.toLocaleString("en")} characters` + (ended ? ", and ended." : ".") + (Number(at("pace").value) ? "" : ` ${Math.round(speed).toLocaleString("en")} a second.`));
  }
  show();
}

// --- writing ---
const number = id => {
  const input = at(id), value = Math.min(Math.max(Number(input.value) || 0, input.min), input.max);
  return id === "temperature" || id === "top-p" ? value : Math.floor(value);
};
const settings = () => ({
  n: Math.min(number("length"), LIMIT - text.length), temperature: number("temperature"), topP: number("top-p"),
  seed: number("seed"), pace: Number(at("pace").value),
});

function write(more = {}) {
  if (ended) return say("The model has ended this text. Write on, undo, or begin a new one.");
  if (text.length >= LIMIT) return say("The text is full. Begin a new one.");
  hideWays();
  if (!more.several) remember("writing");
  writing = more.several ? "several" : "one";
  wanted = more.several;
  at("continue").textContent = "Stop";
  say(more.several ? `Writing ${more.several} continuations.` : "Writing.");
  ask({write: settings(), ...more});
}

function stop() {
  if (!writing) return;
  finish();
  say("Stopped.");
  ask();
}

function finish() {
  writing = "";
  at("continue").textContent = "Continue";
}

function pick(character) {
  if (!character) return;
  stop();
  change(text.slice(0, here).concat(character === boundary ? [] : character), "pick", character === boundary);
  fill();
  ask();
  focusField();
}

// Phones get no focus, because it would open the keyboard.
const focusField = () => { if (!matchMedia("(pointer: coarse)").matches) field.focus({preventScroll: true}); };

const say = words => { at("status").textContent = words; };

// --- several continuations ---
let ways = [], wanted = 0;
function hideWays() {
  ways = [];
  at("ways").hidden = true;
  at("ways").replaceChildren();
}

function showWay({number: which, from, begin, places: found, done}) {
  if (!ways[which]) {
    const pre = element("pre", {class: "marks surprise"}), button = element("button", {type: "button"}, `Choose ${which + 1}`);
    const way = ways[which] = {pre, found: [], ended: false};
    button.addEventListener("click", () => {
      if (writing) stop();
      change(text.concat(way.found), "pick", way.ended);
      fill();
      ask();
      focusField();
    });
    at("ways").append(element("div", {class: "card"}, pre, button));
    at("ways").hidden = false;
  }
  const way = ways[which];
  for (const {id, bits} of found) {
    if (id === undefined) continue;
    const character = characters[id];
    if (character === boundary) way.ended = true;
    else way.found.push(character);
    const shown = character === "\n" ? "↵\n" : hidden(character) && character !== "\t" ? visible(character) : character;
    const span = element("span", isRare(bits) ? {class: "rare"} : {}, shown);
    span.style.backgroundColor = surpriseColour(bits);
    way.pre.append(span);
  }
  if (done && which === wanted - 1) {
    finish();
    say(`${ways.length} continuations. Choose one, or go on writing.`);
    show();
  }
}

// --- the place that is shown ---
let here = 0, pointed = null;
function show() {
  spans[here]?.classList.remove("here");
  here = Math.min(pointed ?? (writing === "one" ? places.length - 1 : caret()), text.length);
  here = Math.max(here, 0);
  if (pointed !== null || here < text.length) spans[here]?.classList.add("here");
  describe();
  at("undo").disabled = !past.length;
  at("redo").disabled = !future.length;
  at("again").disabled = writing || kind !== "writing";
  at("clear").disabled = !text.length;
}

function describe() {
  const place = places[here];
  if (!place) return;
  const character = text[here], known = place.bits !== undefined;
  const rows = place.likeliest.map((id, k) => {
    const button = element("button", {type: "button", class: "pick mono", title: "Alt+" + (k + 1), "aria-label": `${k + 1}: ${name(characters[id])}`}, visible(characters[id]));
    button.addEventListener("click", () => pick(characters[id]));
    return row(known && id === place.id ? "●" : String(k + 1), button, place.probabilities[k], known && id === place.id);
  });
  if (known && place.rank > place.likeliest.length) rows.push(row("●", visible(characters[place.id]), 2 ** -place.bits, true));
  const title = character === undefined ? (ended ? visible(boundary) : "What comes next") : visible(character);
  const surprise = known ? `${place.bits.toFixed(2)} bits` + (place.rank > 1 ? `, expected in place ${place.rank}` : ", the likeliest")
    : character === undefined ? "Choose a character, or write." : "The model does not know this character.";
  const below = [];
  const did = place.unit ?? places[here - 1]?.unit;  // at the end of the text, show the last character's
  if (did) {
    const [h, ...gates] = did;
    const values = [["activation", h, signed(h)], ...data.gates.map((gate, g) => [gate, gates[g], isOpening(gate) ? gates[g].toFixed(2) : signed(gates[g])])];
    below.push(element("table", {}, element("caption", {}, `unit ${chosen.layer}:${chosen.index} after ${place.unit ? "it" : "the last character"}`),
      ...values.map(([what, value, shown]) => element("tr", {}, element("td", {}, what), element("td", {class: "number"}, shown), element("td", {}, bar(Math.min(Math.abs(value), 1)))))));
  }
  if (character !== undefined) below.push(element("div", {class: "soft"}, `character ${(here + 1).toLocaleString("en")}, ${code(character)}`));
  showPlace(title, surprise, known ? "expected here, the true one marked ●" : "expected here", rows, ...below);
}

// A screen reader reads what was expected at the caret, once the caret rests.
let resting = 0;
function speak() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    const place = places[here];
    if (writing || !place) return;
    const came = place.bits === undefined ? "" : `${name(characters[place.id])}, ${place.bits.toFixed(1)} bits; `;
    at("spoken").textContent = came + "expected " + place.likeliest.slice(0, 4).map((id, k) => `${name(characters[id])} ${percent(place.probabilities[k])}`).join(", ");
  }, 700);
}

function move() {
  if (document.activeElement !== field) return;
  show();
  speak();
}
document.addEventListener("selectionchange", move);

at("editor").addEventListener("pointermove", event => {
  const span = document.elementsFromPoint(event.clientX, event.clientY).find(one => one.dataset.place);
  const before = pointed;
  pointed = span && event.pointerType === "mouse" ? Number(span.dataset.place) : null;
  if (pointed !== before) show();
});
at("editor").addEventListener("pointerleave", () => {
  pointed = null;
  show();
});
at("editor").addEventListener("click", event => { if (event.target.id === "editor") field.focus(); });

// --- colours ---
const isOpening = gate => gate !== "new";  // gates go from 0 (shut) to 1 (open); the new value goes from −1 to 1
const choice = at("colour"), chosen = {layer: data.num_layers - 1, index: 0};
choice.append(...["surprise", "activation of a unit", ...data.gates.map(gate => gate + (isOpening(gate) ? " gate" : " value") + " of a unit"), "nothing"]
  .map((label, value) => element("option", {value}, label)));
const part = () => Number(choice.value) - 1;  // index into place.unit; −1 for surprise
const bounded = data.activation !== "relu";

function paint(from = 0) {
  const nothing = part() > data.gates.length, scale = bounded || part() ? 1 : Math.max(1, ...places.map(place => place.unit?.[0] ?? 0));
  for (let place = bounded ? from : 0; place < spans.length; place++) {
    const {bits, unit} = places[place] ?? {};
    spans[place].classList.toggle("rare", isRare(bits));
    spans[place].style.backgroundColor = nothing || !unit ? "" : part() < 0 ? surpriseColour(bits) : unitColour(unit[part()] / scale);
  }
  at("mirror").classList.toggle("surprise", part() < 0);
}

function recolour() {
  at("unit").hidden = part() < 0 || part() > data.gates.length;
  document.querySelector(".scale").hidden = part() > data.gates.length;
  const opens = part() > 0 && isOpening(data.gates[part() - 1]);
  if (part() < 0) showSurpriseScale("10 bits and more");
  else if (opens) showScale("shut", "open", "transparent", unitColour(1));
  else showUnitScale(bounded ? "1" : "largest");
  paint();
}
choice.addEventListener("change", recolour);
for (const id of ["layer", "index"]) at(id).addEventListener("change", () => {
  [chosen.layer, chosen.index] = [number("layer"), number("index")];
  [at("layer").value, at("index").value] = [chosen.layer, chosen.index];
  stop();
  ask();
});

// --- buttons and keys ---
const toggle = () => writing ? stop() : write();
const undo = () => travel(past, future), redo = () => travel(future, past);
at("continue").addEventListener("click", toggle);
at("several").addEventListener("click", () => { stop(); write({several: number("count")}); });
at("undo").addEventListener("click", undo);
at("redo").addEventListener("click", redo);
at("again").addEventListener("click", () => {
  undo();
  at("seed").value = number("seed") + 1;
  write();
});
at("clear").addEventListener("click", () => {
  stop();
  change([], "clear");
  fill();
  ask();
  focusField();
});
for (const id of ["temperature", "top-p"]) {
  const shown = () => { at(id + "-shown").textContent = Number(at(id).value).toFixed(2); };
  at(id).addEventListener("input", shown);
  shown();
}

document.addEventListener("keydown", event => {
  const control = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
  const digit = event.altKey && !control && /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  const inField = !(event.target instanceof HTMLInputElement);
  let act = null;
  if (control && key === "enter") act = toggle;
  else if (key === "escape" && writing) act = stop;
  else if (control && inField && key === "z") act = event.shiftKey ? redo : undo;
  else if (control && inField && key === "y") act = redo;
  else if (digit) act = () => pick(characters[places[here]?.likeliest[digit[1] - 1]]);
  if (!act) return;
  event.preventDefault();
  act();
});

recolour();
ask();
focusField();
