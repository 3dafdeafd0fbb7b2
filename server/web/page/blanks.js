// A text with blanks in, its words and blanks out, and texts for the model.
//
// A blank is `[king]`, which hides a word, or `[MASK]`, `<mask>` or `___`, which hide nothing that is
// known. Knows nothing of the page.

// Chinese is not parted by blanks: there each character can be hidden.
const PIECE = /\[[^[\]\n]*\]|<mask>|_{2,}|\p{Script=Han}|[\p{L}\p{N}][\p{L}\p{M}\p{N}'’-]*|[^]/gu;
const SPELLINGS = new Set(["[MASK]", "[mask]", "[]"]);

/** The pieces of a text, in order: `{text, kind}`, where blanks also have `hides` and `number`. */
export function piecesOf(text) {
  let number = 0;
  return (text.match(PIECE) ?? []).map((piece) => {
    if (/^(\[|<mask>|__)/.test(piece) && piece !== "[") {
      const hides = /^\[/.test(piece) && !SPELLINGS.has(piece) ? piece.slice(1, -1) : "";
      return { text: piece, kind: "blank", hides, number: number++ };
    }
    return { text: piece, kind: /[\p{L}\p{N}]/u.test(piece) ? "word" : "between" };
  });
}

/** The text with the piece at `index` hidden, or shown again if it was. */
export function toggled(pieces, index) {
  const turn = ({ text, kind, hides }) => (kind === "word" ? `[${text}]` : hides || text);
  return pieces.map((piece, i) => (i === index ? turn(piece) : piece.text)).join("");
}

/** The text for the model: blanks with a word of `fills` have it, the others are masks. */
export function masked(pieces, fills, mask) {
  return pieces
    .map(({ text, kind, number }) => (kind === "blank" ? fills[number] || mask : text))
    .join("");
}

/** For each blank the text in which it alone of the filled ones is open, and the how many-th mask.
 *
 * So each blank has its candidates, given the words in all others.
 */
export function questions(pieces, fills, mask) {
  return pieces
    .filter(({ kind }) => kind === "blank")
    .map(({ number }) => {
      const others = fills.map((fill, i) => (i === number ? "" : fill));
      const place = others.slice(0, number).filter((fill) => !fill).length;
      return { text: masked(pieces, others, mask), place };
    });
}
