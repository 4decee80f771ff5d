"use strict";
// exp, log and tanh made of + − × ÷, and random numbers. Browsers differ in the last bits of Math.exp
// and Math.tanh, and one bit can change a character. These functions give the same bits everywhere.

const LN2 = 0.6931471805599453;
const LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10;  // LN2 in two parts

const powersOfTwo = new Float64Array(2046);  // 2^k at k + 1022
powersOfTwo[1022] = 1;
for (let k = 1023; k < 2046; k++) powersOfTwo[k] = 2 * powersOfTwo[k - 1];
for (let k = 1021; k >= 0; k--) powersOfTwo[k] = powersOfTwo[k + 1] / 2;

// With x = k ln 2 + r and |r| ≤ ln 2 / 2: exp(x) = 2^k · Σ rⁿ / n!. The even n and the odd n are two
// sums, because a processor can compute both at the same time.
function exp(x) {
  if (x > 709) return Infinity;
  if (x < -708) return 0;
  const k = Math.floor(x * (1 / LN2) + 0.5);
  const r = x - k * LN2_HIGH - k * LN2_LOW, q = r * r;
  const even = 1 + q * (1 / 2 + q * (1 / 24 + q * (1 / 720 + q * (1 / 40320 + q * (1 / 3628800 + q / 479001600)))));
  const odd = 1 + q * (1 / 6 + q * (1 / 120 + q * (1 / 5040 + q * (1 / 362880 + q * (1 / 39916800 + q / 6227020800)))));
  return (even + r * odd) * powersOfTwo[k + 1022];
}

// For x ≥ 1. With x = 2^k · m, 1/√2 ≤ m ≤ √2 and y = (m − 1) / (m + 1): ln m = 2 Σ y^(2n+1) / (2n + 1)
function log(x) {
  if (!(x < Infinity)) return x;
  let k = 0, m = x;
  while (m > 1.4142135623730951) { m /= 2; k += 1; }
  const y = (m - 1) / (m + 1);
  let sum = 0;
  for (let n = 21; n > 0; n -= 2) sum = sum * y * y + 1 / n;
  return 2 * y * sum + k * LN2;
}

const tanh = a => 1 - 2 / (1 + exp(2 * a));
const sigmoid = a => 1 / (1 + exp(-a));  // σ
const relu = a => a > 0 ? a : 0;

// Returns the upper 32 of the 64 bits of a product.
function productHigh(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + Math.floor(a0 * b0 / 65536);
  return Math.floor((middle % 65536 + a0 * b1) / 65536) + Math.floor(middle / 65536) + a1 * b1 | 0;
}

// Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): four random numbers of 32 bits for each counter
// of four and key of two. No draw depends on those before it.
function philox(counter, key) {
  let [a, b, c, d] = counter, [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const first = productHigh(0xCD9E8D57, c) ^ b ^ k, second = productHigh(0xD2511F53, a) ^ d ^ l;
    [a, b, c, d] = [first, Math.imul(0xCD9E8D57, c), second, Math.imul(0xD2511F53, a)];
    k = k + 0x9E3779B9 | 0;
    l = l + 0xBB67AE85 | 0;
  }
  return [a >>> 0, b >>> 0, c >>> 0, d >>> 0];
}

// Returns the draw of a seed for a place of a text: a number of 53 bits from 0 to 1, without 1.
function uniform(seed, text, place) {
  const [a, b] = philox([place, text, 0, 0], [seed >>> 0, Math.floor(seed / 4294967296)]);
  return ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;
}
