// The worker reads the text that the page sends, and continues it. For each place of the text, it posts
// the expected characters, and the values of one unit after the character.

const EVERY = 64;  // places between two kept states, from which reading can start again
const LIKELIEST = 9;
const TURN = 40;  // milliseconds between two messages

let model, unit, job = 0;
const text = [], kept = [];  // the ids read, and the state at each EVERYth place

function restore(place) {
  text.length = place;
  kept.length = place / EVERY + 1;
  model.state.set(kept[place / EVERY]);
}

// Returns the last place with a kept state up to which `ids` and the text already read agree.
function common(ids) {
  let place = 0;
  while (place < ids.length && place < text.length && ids[place] === text[place]) place++;
  return EVERY * Math.min(Math.floor(place / EVERY), kept.length - 1);
}

function expectation() {
  model.predict();
  if (!Number.isFinite(model.log_y[0])) throw new Error("the model overflows here");
  const likeliest = model.likeliest(LIKELIEST);
  return {likeliest, probabilities: likeliest.map(k => exp(model.log_y[k]))};
}

// Reads the character x of a place. An unknown character is −1, and the model does not read it.
function take(here, x) {
  here.id = x;
  if (x < 0) return;
  here.bits = -model.log_y[x] / LN2;
  here.rank = model.o.reduce((rank, value) => rank + (value > model.o[x]), 1);
  model.read(x);
  const {h, gates} = model.layers[unit.layer];
  here.unit = [h[unit.index], ...Array.from({length: model.G}, (_, g) => gates[g * h.length + unit.index])];
}

// Yields each place from the current one: those of the given ids, then drawn ones up to `end` places,
// and finally the place after them. Only the page's own text keeps its states (`keeps`).
function* places(given, end, sampling, number, keeps) {
  for (let place = keeps ? text.length : given.length; ; place++) {
    if (keeps && place % EVERY === 0) kept[place / EVERY] = model.state.slice();
    const here = expectation();
    if (place >= end) return yield here;
    const x = place < given.length ? given[place] : model.draw(sampling, uniform(sampling.seed, number, place));
    take(here, x);
    if (keeps && x !== model.spec.boundary) text.push(x);
    yield here;
    if (x === model.spec.boundary) return;
  }
}

// Posts the places that a generator yields, in batches. Returns false if a new request arrived
// meanwhile.
async function send(found, from, message, pace, current) {
  let batch = [], since = performance.now(), drawn = 0;
  const begun = since;
  const flush = done => {
    const seconds = (performance.now() - begun) / 1000;
    postMessage({...message, from, places: batch, done, speed: done ? drawn / seconds : 0});
    from += batch.length;
    batch = [];
  };
  for (const here of found) {
    batch.push(here);
    drawn++;
    const paced = pace && from + batch.length > message.begin;
    if (!paced && performance.now() - since < TURN) continue;
    flush(false);
    await new Promise(resolve => setTimeout(resolve, paced ? 1000 / pace : 0));
    if (job !== current) return false;
    since = performance.now();
  }
  flush(true);
  return true;
}

async function answer({version, ids, chosen, write, several}, current) {
  if (chosen.layer !== unit?.layer || chosen.index !== unit.index) text.length = 0;
  unit = chosen;
  const from = common(ids), begin = ids.length;
  restore(from);
  const end = write && !several ? begin + write.n : begin;
  const read = await send(places(ids, end, write, 0, true), from, {version, begin}, write?.pace, current);
  if (!read || !several) return;
  const state = model.state.slice();
  for (let number = 0; number < several; number++) {
    model.state.set(state);
    const drawn = places(ids, begin + write.n, write, number, false);
    if (!await send(drawn, begin, {version, begin, number}, 0, current)) break;
  }
}

onmessage = async ({data}) => {
  const current = ++job;
  try {
    if (data.spec) {
      model = new Model(data.spec, data.weights);
      model.read(data.spec.opening);
      kept.push(model.state.slice());
    } else await answer(data, current);
  } catch (error) {
    postMessage({version: data.version, error: error.message});
  }
};
