// The network, in the symbols of Goodfellow, Bengio & Courville, "Deep Learning", chapter 10. It has K
// characters, H units in a layer and G gates in a cell. Each layer reads x(t): the first reads a
// character, the others h(t) of the layer below. U is (G·H, K) or (G·H, H), W (G·H, H), b (G·H), V (K, H)
// and c (K). A matrix is an array of its rows, one after the other.

// M x
function times(M, x, out) {
  const rows = out.length, columns = x.length, inFours = rows - rows % 4;
  for (let i = 0; i < inFours; i += 4) {  // four sums at a time, because each addition waits for the one before
    const first = i * columns, second = first + columns, third = second + columns, fourth = third + columns;
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0; j < columns; j++) {
      const xj = x[j];
      a += M[first + j] * xj;
      b += M[second + j] * xj;
      c += M[third + j] * xj;
      d += M[fourth + j] * xj;
    }
    out[i] = a;
    out[i + 1] = b;
    out[i + 2] = c;
    out[i + 3] = d;
  }
  for (let i = inFours; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += M[i * columns + j] * x[j];
    out[i] = sum;
  }
}

// One step of a layer, given U x(t), W h(t-1) and its biases. It replaces h and s by their values after
// x(t), and writes the values of the gates to `gates`, H numbers each.
const cells = {
  // h(t) = f(U x(t) + W h(t-1) + b)
  rnn(Ux, Wh, {b}, h, s, gates, f) {
    for (let j = 0; j < h.length; j++) h[j] = f(Ux[j] + Wh[j] + b[j]);
  },

  // i, f, q = σ, g = tanh of U x(t) + W h(t-1) + b;  s(t) = f s(t-1) + i g;  h(t) = q tanh(s(t))
  lstm(Ux, Wh, {b}, h, s, gates) {
    const H = h.length;
    for (let j = 0; j < H; j++) {
      const at_f = H + j, at_g = 2 * H + j, at_q = 3 * H + j;
      const i = gates[j] = sigmoid(Ux[j] + Wh[j] + b[j]);
      const f = gates[at_f] = sigmoid(Ux[at_f] + Wh[at_f] + b[at_f]);
      const g = gates[at_g] = tanh(Ux[at_g] + Wh[at_g] + b[at_g]);
      const q = gates[at_q] = sigmoid(Ux[at_q] + Wh[at_q] + b[at_q]);
      s[j] = f * s[j] + i * g;
      h[j] = q * tanh(s[j]);
    }
  },

  // r, u = σ of U x(t) + W h(t-1) + b;  n = tanh(U x(t) + b + r (W h(t-1) + d));  h(t) = u h(t-1) + (1 − u) n
  gru(Ux, Wh, {b, d}, h, s, gates) {
    const H = h.length;
    for (let j = 0; j < H; j++) {
      const at_u = H + j, at_n = 2 * H + j;
      const r = gates[j] = sigmoid(Ux[j] + Wh[j] + b[j]);
      const u = gates[at_u] = sigmoid(Ux[at_u] + Wh[at_u] + b[at_u]);
      const n = gates[at_n] = tanh(Ux[at_n] + b[at_n] + r * (Wh[at_n] + d[j]));
      h[j] = u * h[j] + (1 - u) * n;
    }
  },
};

// Decodes a float16: a sign, 5 bits of exponent, 10 bits of mantissa.
function half(bits) {
  const exponent = bits >>> 10 & 31, mantissa = bits & 1023;
  const size = exponent ? (1024 + mantissa) * powersOfTwo[exponent - 25 + 1022] : mantissa * powersOfTwo[-24 + 1022];
  return bits & 0x8000 ? -size : size;
}

// Returns the parameters by their names, from little-endian numbers in base64.
function parametersOf({shapes, dtype}, packed) {
  const text = atob(packed), bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
  const view = new DataView(bytes.buffer), found = {};
  let place = 0;
  for (const [name, shape] of shapes) {
    const array = found[name] = new Float32Array(shape.reduce((size, n) => size * n));
    for (let k = 0; k < array.length; k++, place++)
      array[k] = dtype === "float16" ? half(view.getUint16(2 * place, true)) : view.getFloat32(4 * place, true);
  }
  return found;
}

class Model {
  constructor(spec, packed) {
    const p = parametersOf(spec, packed), {hidden_size: H, num_layers: L, gates: G, states: S} = spec, K = p.c.length;
    Object.assign(this, {K, H, G: G.length, V: p.V, c: p.c, spec});
    this.f = spec.activation === "relu" ? relu : tanh;
    this.state = new Float64Array(S * L * H);  // h of all layers, then s of all layers
    this.Ux = new Float64Array(p.b0.length);
    this.Wh = new Float64Array(p.b0.length);
    this.o = new Float64Array(K);
    this.log_y = new Float64Array(K);
    this.layers = Array.from({length: L}, (_, l) => ({
      U: p["U" + l], W: p["W" + l], own: {b: p["b" + l], d: p["d" + l]},
      h: this.state.subarray(l * H, (l + 1) * H), s: this.state.subarray((L + l) * H, (L + l + 1) * H),
      gates: new Float64Array(G.length * H),
    }));
    // Row x is U x for the character x, a column of U.
    this.columns = new Float32Array(p.U0.length);
    for (let i = 0; i < this.Ux.length; i++)
      for (let x = 0; x < K; x++) this.columns[x * this.Ux.length + i] = p.U0[i * K + x];
  }

  // Reads a character and updates the state.
  read(x) {
    let below = null;
    for (const {U, W, own, h, s, gates} of this.layers) {
      if (below) times(U, below, this.Ux);
      else this.Ux.set(this.columns.subarray(x * this.Ux.length, (x + 1) * this.Ux.length));
      times(W, h, this.Wh);
      cells[this.spec.cell](this.Ux, this.Wh, own, h, s, gates, this.f);
      below = h;
    }
  }

  // Computes o(t) = V h(t) + c and log ŷ(t) = o(t) − log Σ exp o(t) from the state.
  predict() {
    const {o, log_y, c} = this;
    times(this.V, this.layers.at(-1).h, o);
    let largest = -Infinity, sum = 0;
    for (let k = 0; k < o.length; k++) largest = Math.max(largest, o[k] += c[k]);
    for (let k = 0; k < o.length; k++) sum += exp(o[k] - largest);
    const shift = largest + log(sum);
    for (let k = 0; k < o.length; k++) log_y[k] = o[k] - shift;
  }

  // Draws from softmax(o / temperature), cut to the smallest set of likeliest characters whose mass
  // reaches topP. `share`, from 0 to 1, is a position in the remaining mass, in the order of the ids.
  draw({temperature, topP}, share) {
    const largest = this.o.reduce((a, b) => Math.max(a, b));
    const p = this.o.map(value => exp((value - largest) / temperature));
    if (topP < 1) {
      const wanted = topP * p.reduce((a, b) => a + b);
      const ranked = Uint32Array.from(p.keys()).sort((a, b) => this.o[b] - this.o[a] || a - b);
      let mass = 0;
      for (const k of ranked) {
        if (mass >= wanted) p[k] = 0;
        else mass += p[k];
      }
    }
    let left = share * p.reduce((a, b) => a + b), last = 0;
    for (let k = 0; k < p.length; k++) {
      if (!p[k]) continue;
      last = k;
      left -= p[k];
      if (left < 0) break;
    }
    return last;
  }

  // Returns the ids of the n likeliest characters. Of equals, the smaller id is first.
  likeliest(n) {
    const found = [];
    for (let k = 0; k < this.K; k++) {
      if (found.length === n && !(this.o[k] > this.o[found[n - 1]])) continue;
      let place = Math.min(found.length, n - 1);
      while (place && this.o[k] > this.o[found[place - 1]]) found[place] = found[--place];
      found[place] = k;
    }
    return found;
  }
}
