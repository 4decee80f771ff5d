const bytes = packed => Uint8Array.from(atob(packed), c => c.charCodeAt(0)).buffer;
const characters = Array.from(data.text), expected = Array.from(data.expected);
const probabilities = new Float32Array(bytes(data.probabilities));
const bits = new Float32Array(bytes(data.bits)), ranks = new Uint32Array(bytes(data.ranks));
const origins = new Uint8Array(bytes(data.origins));
for (const unit of data.units) unit.values = new Int8Array(bytes(unit.activations));

// --- the text ---
const text = at("text");
const spans = characters.map((character, place) => {
  const span = element("span");
  if (character === "\n" || character === "\t") span.append(visible(character) + character);
  else if (character === boundary) span.append(place ? visible(character) + "\n" : "");
  else span.append(hidden(character) ? code(character) : character);
  span.dataset.place = place;
  if (isRare(bits[place])) span.className = "rare";
  return span;
});
text.append(...spans);

let here = null, unit = null, tracing = false;
function go(place, scroll) {
  if (here !== null) spans[here].classList.remove("here");
  if (tracing) trace(() => "");
  here = Math.max(0, Math.min(characters.length - 1, place));
  const span = spans[here];
  span.classList.add("here");
  if (scroll) span.scrollIntoView({block: "nearest"});
  if (tracing) trace(share => mix("hot", share));
  describe();
}

const expectedRow = (character, p, isTrue) => row(isTrue ? "●" : "", visible(character), p, isTrue);

function describe() {
  const rows = [], heard = [];
  const first = here * data.width;
  for (let c = 0; here && c < data.width; c++) {
    rows.push(expectedRow(expected[first + c], probabilities[first + c], ranks[here] === c + 1));
    heard.push(name(expected[first + c]) + " " + percent(probabilities[first + c]));
  }
  if (ranks[here] > data.width) rows.push(expectedRow(characters[here], 2 ** -bits[here], true));
  const surprise = here ? bits[here].toFixed(2) + " bits" : "the first character: nothing to expect it by";
  showPlace(
    visible(characters[here]),
    surprise + (ranks[here] > data.width ? ", expected in place " + ranks[here] : ""),
    here ? "expected here, the true one marked ●" : "",
    rows,
    element("div", {class: "soft"}, "character " + (here + 1).toLocaleString("en") + ", " + code(characters[here])
      + (unit ? "; unit " + unit.name + ": " + signed(unit.values[here] / 127) : "")),
  );
  at("spoken").textContent = name(characters[here]) + ", " + surprise + (here ? "; expected " + heard.join(", ") : "");
}

// Returns the place on the next visual line up or down that is nearest in x.
function vertical(direction) {
  const box = spans[here].getBoundingClientRect(), middle = (box.left + box.right) / 2;
  let best = here, nearest = Infinity, line = null;
  for (let place = here + direction; spans[place]; place += direction) {
    const other = spans[place].getClientRects()[0];
    if (Math.abs(other.top - box.top) < 4) continue;
    line ??= other.top;
    if (Math.abs(other.top - line) >= 4) break;
    const distance = Math.abs((other.left + other.right) / 2 - middle);
    if (distance < nearest) [best, nearest] = [place, distance];
  }
  return best;
}

const endsLine = character => character === "\n" || character === boundary;

function lineEnd(direction) {
  let place = here;
  while (direction < 0 ? place > 0 && !endsLine(characters[place - 1]) : place < characters.length - 1 && !endsLine(characters[place])) place += direction;
  return place;
}

for (const kind of ["pointerover", "pointerdown"]) text.addEventListener(kind, event => {
  const span = event.target.closest("[data-place]");
  if (span) go(Number(span.dataset.place), false);
});
text.addEventListener("keydown", event => {
  const moves = {ArrowLeft: () => here - 1, ArrowRight: () => here + 1, ArrowUp: () => vertical(-1),
    ArrowDown: () => vertical(1), Home: () => lineEnd(-1), End: () => lineEnd(1)};
  if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  go(moves[event.key](), true);
});

// --- colours ---
// Colours the previous characters by how much they mattered to the loss of this one.
function trace(colour) {
  for (let k = 1; k <= Math.min(data.back, here); k++)
    spans[here - k].style.backgroundColor = colour(origins[here * data.back + k - 1] / 255);
}

function paint() {
  text.classList.toggle("surprise", !unit && !tracing);
  spans.forEach((span, place) => {
    span.style.backgroundColor = tracing ? "" : unit ? unitColour(unit.values[place] / 127) : surpriseColour(bits[place]);
  });
  if (tracing && here !== null) trace(share => mix("hot", share));
  if (unit) showUnitScale("1");
  else showSurpriseScale(tracing ? "the largest of them" : "10 bits and more");
  at("about").textContent = unit
    ? "How active unit " + unit.index + " of layer " + unit.layer + " is after each character" + (unit.feature ? "; it follows: " + unit.feature + ", correlation " + signed(unit.correlation) : "") + "."
    : tracing ? "How much each of the " + data.back + " characters before the one you point at mattered to it: the size of the gradient of its loss, ∂(−log ŷ)/∂x."
    : "How many bits each character cost the model; above 8 bits it is underlined.";
}

const choice = at("colour");
choice.append(element("option", {value: ""}, "surprise"));
const groups = new Map();
data.units.forEach((unit, number) => {
  [unit.layer, unit.index] = unit.name.split(":");
  const feature = unit.feature ?? "nothing known";
  if (!groups.has(feature)) groups.set(feature, choice.appendChild(element("optgroup", {label: feature})));
  groups.get(feature).append(element("option", {value: number},
    "unit " + unit.name + (unit.feature ? ", " + unit.feature + " " + signed(unit.correlation) : "")));
});
choice.append(element("option", {value: "origins"}, "origins of the character you point at"));
choice.addEventListener("change", () => {
  tracing = choice.value === "origins";
  unit = choice.value === "" || tracing ? null : data.units[choice.value];
  paint();
  describe();
});

const peaks = Array.from(bits.keys()).slice(1).sort((a, b) => bits[b] - bits[a]).slice(0, 8);
at("peaks").append(...peaks.map(place => {
  const before = characters.slice(Math.max(0, place - 8), place);  // cut below to its own document
  const button = element("button", {type: "button", class: "mono"},
    before.slice(before.lastIndexOf(boundary) + 1).map(c => c === " " ? " " : visible(c)).join(""),
    element("b", {}, "[" + visible(characters[place]) + "]"), " " + bits[place].toFixed(1));
  button.addEventListener("click", () => { go(place, true); text.focus({preventScroll: true}); });
  return element("li", {}, button);
}));

// --- charts ---
const colours = ["first", "second", "third", "fourth"], dashes = ["", "6 3", "2 3", "8 3 2 3"];
function ticks(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(factor => factor * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return value / 1e6 + "M";
  if (size >= 1e4) return value / 1e3 + "k";
  return size && size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(6)));
}

// Returns the upper end of an axis, because the first steps of a loss must not flatten the rest.
function highest(ys) {
  const later = ys.slice(Math.floor(ys.length / 10)).sort((a, b) => a - b);
  return later[Math.floor(0.98 * (later.length - 1))];
}

function chart(title, series, xName, log, rollbacks, isLoss) {
  const W = 320, H = 200, left = 46, right = isLoss ? 42 : 10, top = 8, bottom = 34;
  const y = log ? value => Math.log10(value) : value => value;
  const xs = series.flatMap(one => one.x).concat(rollbacks), ys = series.flatMap(one => one.y).map(y);
  const x0 = Math.min(...xs), x1 = Math.max(...xs) > x0 ? Math.max(...xs) : x0 + 1;
  let y0 = Math.min(...ys), y1 = isLoss ? Math.max(...series.map(one => highest(one.y))) : Math.max(...ys);
  if (isLoss) y1 += (y1 - y0) / 10;
  if (y1 - y0 < 1e-12) { y0 -= Math.abs(y0) / 2; y1 += Math.abs(y1) / 2 || 1; }
  const px = value => left + (value - x0) / (x1 - x0) * (W - left - right);
  const py = value => H - bottom - (value - y0) / (y1 - y0) * (H - top - bottom);
  const last = series.map(one => one.name + " ends at " + Number(one.y.at(-1).toPrecision(4)));
  if (rollbacks.length) last.push("rollback to " + rollbacks.join(", "));
  const svg = element("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title + ": " + last.join("; ")});
  for (const value of ticks(y0, y1)) {
    if (log && value % 1) continue;
    svg.append(element("line", {class: "axis", x1: left, x2: W - right, y1: py(value), y2: py(value)}),
      element("text", {x: left - 5, y: py(value) + 4, "text-anchor": "end"}, log ? (value === 0 ? "1" : "1e" + value) : short(value)));
  }
  for (const value of ticks(x0, x1)) svg.append(
    element("text", {x: px(value), y: H - bottom + 15, "text-anchor": px(value) > W - 25 ? "end" : "middle"}, short(value)));
  svg.append(element("text", {x: W - right, y: H - 4, "text-anchor": "end"}, xName));
  if (log && y0 < -2) svg.append(element("line", {class: "limit", x1: left, x2: W - right, y1: py(-2), y2: py(-2)}),
    element("text", {x: W - right, y: py(-2) - 4, "text-anchor": "end"}, "1 %"));
  rollbacks.forEach((at, number) => svg.append(element("line", {class: "rollback", x1: px(at), x2: px(at), y1: top, y2: H - bottom}),
    number ? "" : element("text", {x: px(at) + (px(at) < W / 2 ? 4 : -4), y: top + 10, "text-anchor": px(at) < W / 2 ? "start" : "end"}, "rollback")));
  const look = number => `stroke: var(--${colours[number % 4]}); stroke-dasharray: ${dashes[number % 4] || "none"}`;
  series.forEach((one, number) => {
    const path = one.x.map((value, k) => (k ? "L" : "M") + px(value).toFixed(1) + " " + py(y(one.y[k])).toFixed(1)).join("");
    svg.append(element("path", {class: "curve", style: look(number), d: path + (one.x.length === 1 ? "h1" : "")}, element("title", {}, one.name)));
  });
  let free = Infinity;  // stack the end values from the bottom up, so that they do not overlap
  for (const one of isLoss ? [...series].sort((a, b) => a.y.at(-1) - b.y.at(-1)) : []) {
    free = Math.min(Math.max(py(one.y.at(-1)), top) + 4, free - 13);
    const label = element("text", {x: px(one.x.at(-1)) + 4, y: free}, one.y.at(-1).toFixed(3));
    label.style.fill = `var(--${colours[series.indexOf(one) % 4]})`;
    svg.append(label);
  }
  const keys = series.length < 2 ? [] : series.map((one, number) => element("span", {class: "key"},
    element("svg", {viewBox: "0 0 24 8", "aria-hidden": "true"}, element("path", {class: "curve", style: look(number), d: "M0 4H24"})), one.name));
  return [element("h3", {}, title), ...keys, svg];
}

for (const {title, series, rollbacks} of data.curves)
  at("charts").append(element("div", {class: "card"}, ...chart(title, series, "step", false, rollbacks, title.startsWith("Loss"))));
const fading = data.gradients.map(({name, shares}) => {
  const kept = shares.map((y, x) => ({x, y})).filter(({y}) => y >= 1e-6);
  return {name: "layer " + name, x: kept.map(point => point.x), y: kept.map(point => point.y)};
}).filter(one => one.x.length);
if (fading.length) at("flow").append(...chart("Share of the gradient by lag", fading, "characters back", true, [], false));

paint();
go(Math.min(1, characters.length - 1), false);
