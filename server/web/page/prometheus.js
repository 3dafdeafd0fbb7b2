// Prometheus' text in, sums and quantiles of its series out. Knows nothing of the page.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of an exposition: `[{name, labels, value}]`. */
export function samplesOf(text) {
  return text.split("\n").flatMap((line) => {
    const [, name, inner = "", value] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    const labels = Object.fromEntries([...inner.matchAll(LABEL)].map(([, key, of]) => [key, of]));
    return [{ name, labels, value: Number(value.replace("Inf", "Infinity")) }];
  });
}

/** The sum of all series of a name whose labels please. */
export const sumOf = (samples, name, pleases = () => true) =>
  samples.reduce((sum, one) => sum + (one.name === name && pleases(one.labels) ? one.value : 0), 0);

/** The same, or null if there is no series of the name at all. */
export const sumIfCounted = (samples, name) =>
  samples.some((one) => one.name === name) ? sumOf(samples, name) : null;

/** A histogram's buckets, summed over its series: upper bound -> how many were not above it. */
export function bucketsOf(samples, name, pleases = () => true) {
  const counts = new Map();
  for (const { name: each, labels, value } of samples) {
    if (each !== `${name}_bucket` || !pleases(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return counts;
}

/** The quantile of what came between two readings of a histogram, as Prometheus estimates it.
 *
 * Null where nothing came; the highest bound where it lies beyond.
 */
export function quantile(share, before, after) {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => after.get(bound) - (before.get(bound) ?? 0));
  const rank = share * (counts.at(-1) ?? 0);
  if (!(rank > 0)) return null;
  const index = counts.findIndex((count) => count >= rank);
  const lower = index ? bounds[index - 1] : 0;
  if (bounds[index] === Infinity) return lower;
  const below = index ? counts[index - 1] : 0;
  return lower + ((bounds[index] - lower) * (rank - below)) / (counts[index] - below);
}
