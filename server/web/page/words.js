// Texts and numbers in, how they are written on the page out.

/** A probability as people read it; never 0 or 100 % where it is not. */
export function percent(p) {
  const share = 100 * p;
  if (share > 0 && share < 0.1) return "< 0.1 %";
  if (share < 100 && share > 99.9) return "> 99.9 %";
  const fine = (share > 0 && share < 10) || (share > 99 && share < 100);
  return `${fine ? share.toFixed(1) : Math.round(share)} %`;
}

/** A number with thousands parted. */
export const grouped = (number) => Math.round(number).toLocaleString("en");

/** A number with so many places behind the point, and a true minus. */
export const fixed = (number, places) =>
  number.toFixed(places).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");

/** The lines of a text that say something. */
export const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** A part of a text by its code points, in which the server counts. */
export const slice = (text, start, stop) => Array.from(text).slice(start, stop).join("");

/** A text cut into marked and plain parts, by spans that do not overlap: `[{text, span?}]`. */
export function parted(text, spans) {
  const parts = [];
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start > end) parts.push({ text: slice(text, end, span.start) });
    parts.push({ text: slice(text, span.start, span.stop), span });
    end = span.stop;
  }
  parts.push({ text: slice(text, end) });
  return parts.filter((part) => part.text);
}
