// Numbers in, numbers out: what the panels compute themselves. Knows nothing of the page.

/** A generator of numbers from 0 to 1 that a seed decides (mulberry32, 32 bits of state). */
export function random(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The items in an order that `draw` decides (Fisher and Yates). */
export function shuffled(items, draw) {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(draw() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}

const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);

/** Cosines of every vector with every other: vectors (n, h) -> (n, n). */
export function cosines(vectors) {
  const lengths = vectors.map((vector) => Math.sqrt(dot(vector, vector)) || 1);
  return vectors.map((a, i) => vectors.map((b, j) => dot(a, b) / (lengths[i] * lengths[j])));
}

/** Principal components of vectors (n, h): places (n, 2), and which share of the variance they keep.
 *
 * The n × n products of the centred vectors have the same components as the h × h covariance, and
 * are fewer; each is found by power iteration and taken out before the next.
 */
export function principalPlane(vectors) {
  const n = vectors.length;
  const mean = vectors[0].map((_, k) => vectors.reduce((sum, vector) => sum + vector[k], 0) / n);
  const centred = vectors.map((vector) => vector.map((value, k) => value - mean[k]));
  let products = centred.map((a) => centred.map((b) => dot(a, b)));
  const variance = products.reduce((sum, row, i) => sum + row[i], 0) || 1;
  const axes = [0, 1].map((axis) => {
    const { value, vector } = strongest(products, random(axis + 1));
    products = products.map((row, i) => row.map((p, j) => p - value * vector[i] * vector[j]));
    return { value, along: vector.map((entry) => entry * Math.sqrt(Math.max(value, 0))) };
  });
  return {
    places: vectors.map((_, i) => axes.map((axis) => axis.along[i])),
    kept: Math.min(1, axes.reduce((sum, axis) => sum + Math.max(axis.value, 0), 0) / variance),
  };
}

/** The largest eigenvalue of a symmetric matrix without negative ones, and its vector. */
function strongest(matrix, draw) {
  let vector = matrix.map(() => draw() - 0.5);
  let value = 0;
  for (let step = 0; step < 300; step++) {
    const next = matrix.map((row) => dot(row, vector));
    value = Math.sqrt(dot(next, next));
    if (value < 1e-12) return { value: 0, vector: matrix.map(() => 0) };
    vector = next.map((entry) => entry / value);
  }
  return { value, vector };
}

/** The likeliest order of sentences, by the probability that one follows another: (n, n) -> n places.
 *
 * Held and Karp: the best way through each set of sentences to each last one, from the smaller sets
 * to the larger; n² · 2ⁿ steps.
 */
export function likeliestOrder(follows) {
  const n = follows.length;
  const gain = follows.map((row) => row.map((p) => Math.log(Math.max(p ?? 0, 1e-12))));
  const best = Array.from({ length: 1 << n }, () => new Array(n).fill(-Infinity));
  const before = Array.from({ length: 1 << n }, () => new Array(n).fill(-1));
  for (let i = 0; i < n; i++) best[1 << i][i] = 0;
  for (let set = 1; set < 1 << n; set++) {
    for (let last = 0; last < n; last++) {
      for (let next = 0; next < n && best[set][last] > -Infinity; next++) {
        const larger = set | (1 << next);
        const total = best[set][last] + gain[last][next];
        if (larger !== set && total > best[larger][next]) {
          best[larger][next] = total;
          before[larger][next] = last;
        }
      }
    }
  }
  const order = [];
  let set = (1 << n) - 1;
  let last = best[set].indexOf(Math.max(...best[set]));
  while (last >= 0) {
    order.unshift(last);
    const previous = before[set][last];
    set ^= 1 << last;
    last = previous;
  }
  return order;
}
