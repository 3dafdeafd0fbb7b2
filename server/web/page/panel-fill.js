// Words hidden in a text: what the model says of each, of all together, and of one's own candidates.

import { html, useRef, useState } from "./preact.js";
import { useAnswer } from "./asking.js";
import { masked, piecesOf, questions, toggled } from "./blanks.js";
import { Bars, Examples, Field, Progress, SameCalls } from "./parts.js";

export const title = "Fill";
export const tasks = ["fill-mask"];
export const defaults = {
  text: "The [king] and the queen lived in a [castle].",
  fills: "",
  targets: "",
};

const SHOWN = 7; // candidates for a blank
const TOGETHER = 4; // fillings of all blanks
const EXAMPLES = [
  ["a castle", defaults.text],
  ["a capital", "[Paris] is the capital of [France]."],
  ["a birthday", "She baked a [cake] for his [birthday]."],
  ["a grammar rule", "The keys to the cabinet [are] on the table."],
];

export function Panel({ fields, change, choice }) {
  const [heard, tell] = useState("");
  const own = useRef(null);
  const model = choice.modelFor("fill-mask");
  const mask = useMask(choice, model);
  const pieces = piecesOf(fields.text);
  const blanks = pieces.filter(({ kind }) => kind === "blank");
  const fills = blanks.map((_, i) => fields.fills.split("|")[i] ?? "");
  const targets = fields.targets.split(",").map((word) => word.trim()).filter(Boolean);
  const open = fills.flatMap((fill, number) => (fill ? [] : [number]));

  // What was asked stays with its answer, which is shown until the next one is there.
  const asked = mask ? questions(pieces, fills, mask) : [];
  const texts = [...new Set(asked.map(({ text }) => text))];
  const single = texts.length
    ? {
        ...choice.call("fill-mask", {
          inputs: texts.length === 1 ? texts[0] : texts,
          parameters: targets.length ? { targets } : { top_k: SHOWN },
        }),
        about: { asked, texts, open },
      }
    : null;
  const joint =
    mask && open.length > 1 && !targets.length
      ? {
          ...choice.call("fill-mask", {
            inputs: masked(pieces, fills, mask),
            parameters: { joint: true, top_k: TOGETHER },
          }),
          about: { open },
        }
      : null;
  const candidates = useAnswer(single);
  const together = useAnswer(joint);

  const edit = (text) => {
    const count = (of) => piecesOf(of).filter(({ kind }) => kind === "blank").length;
    change(count(text) === blanks.length ? { text } : { text, fills: "" });
  };
  const flip = (index) => {
    const piece = pieces[index];
    if (piece.kind === "blank" && fills[piece.number]) {
      setFills(fills.with(piece.number, ""));
      return;
    }
    const before = pieces.slice(0, index).filter(({ kind }) => kind === "blank").length;
    const restored = piece.kind === "blank" && piece.hides ? 1 : 0;
    const added = piece.kind === "word" ? [""] : [];
    const left = [...fills.slice(0, before), ...added, ...fills.slice(before + restored)];
    change({ text: toggled(pieces, index), fills: joined(left) });
  };
  const setFills = (words) => change({ fills: joined(words) });
  const pick = (number, word) => {
    const taken = fills[number] === word;
    setFills(fills.with(number, taken ? "" : word));
    tell(taken ? `Blank ${number + 1} is empty.` : `Blank ${number + 1} is filled with ${word}.`);
  };

  return html`<h1>Which word is missing?</h1>
    <p class="lead">BERT learnt language by filling blanks: it reads what stands on both sides of a
      blank, and says how likely each word of its vocabulary is there. Click a word to hide it.</p>
    <${Sentence} pieces=${pieces} fills=${fills} flip=${flip} />
    <${Examples} texts=${EXAMPLES} onPick=${(text) => change({ text, fills: "" })}>
      <button type="button" class="quiet" onClick=${() => own.current.querySelector("textarea").focus()}>your own text</button>
    <//>
    <p role="status" class="hidden">${heard}</p>
    ${blanks.length === 0 && html`<p class="notice">Nothing is hidden yet: click a word of the sentence above.</p>`}
    <${Progress} of=${[candidates, together]} />
    <div class="columns">
      ${single && candidates.answer
        ? candidates.to.about.asked.map(({ text, place }, number) => {
            const found = masksOf(candidates, text)[place];
            return html`<section key=${number}>
              <h2>Blank ${number + 1}${fills[number] && html`: <em>${fills[number]}</em>`}</h2>
              <${Bars} label="Candidates for blank ${number + 1}"
                items=${found.map((one) => ({ name: one.token_str, score: one.score, chosen: fills[number] === one.token_str }))}
                onPick=${({ name }) => pick(number, name)} />
            </section>`;
          })
        : ""}
    </div>
    ${joint && together.answer && candidates.answer
      ? html`<${Together} found=${together.answer} alone=${bestAlone(candidates)}
          onPick=${(words) => setFills(fills.map((fill, i) => words[together.to.about.open.indexOf(i)] ?? fill))} />`
      : ""}
    <div class="inputs" ref=${own}>
      <${Field} label="Your text" rows=${2} value=${fields.text} onInput=${edit}
        hint="A word in [brackets] is hidden, and so is what you write as ___." />
      <${Field} label="Compare your own words (optional)" value=${fields.targets} onInput=${(text) => change({ targets: text })}
        placeholder="such as: castle, palace, house" hint="Parted by commas; only these are then scored." />
    </div>
    <${SameCalls} calls=${[single, joint]} />`;
}

const joined = (words) => words.join("|").replace(/^\|+$/, "");
/** The lists of candidates of one text that was asked, one list for each of its masks. */
function masksOf({ answer, to }, text) {
  const one = Array.isArray(to.body.inputs) ? answer[to.about.texts.indexOf(text)] : answer;
  return Array.isArray(one[0]) ? one : [one];
}

/** The best word of each open blank by itself. */
function bestAlone(candidates) {
  const { asked, open } = candidates.to.about;
  return open.length ? masksOf(candidates, asked[open[0]].text).map(([best]) => best.token_str) : [];
}

/** How this model spells its mask: the first of the usual spellings that it takes for one token. */
function useMask(choice, model) {
  const spellings = ["[MASK]", "<mask>"];
  const { answer } = useAnswer(
    choice.call("tokenize", { inputs: spellings, add_special_tokens: false }, model),
  );
  return answer && (spellings.find((_, i) => answer[i].length === 1) ?? spellings[0]);
}

/** The text, each word a button. */
function Sentence({ pieces, fills, flip }) {
  return html`<div class="sentence" role="group" aria-label="The text, word by word">
    ${pieces.map((piece, index) => {
      if (piece.kind === "between") return piece.text;
      const fill = piece.kind === "blank" ? fills[piece.number] : "";
      const slot = html`<span class="slot">${piece.number + 1}</span>`;
      // There is nothing to show in place of a blank that hides no word.
      if (piece.kind === "blank" && !piece.hides && !fill) return html`<span class="word blank">${slot}</span>`;
      const said = { word: `${piece.text}: hide it`, blank: sayBlank(piece, fill) }[piece.kind];
      return html`<button type="button" key=${index} aria-label=${said}
        class=${piece.kind === "word" ? "word" : fill ? "word blank filled" : "word blank"}
        onClick=${() => flip(index)}>${piece.kind === "word" ? piece.text : fill || slot}</button>`;
    })}
  </div>`;
}

const sayBlank = ({ number, hides }, fill) => {
  const name = `Blank ${number + 1}`;
  if (fill) return `${name}, filled with ${fill}: empty it`;
  return `${name}: show ${hides} again`;
};

/** The best fillings of all blanks together, beside the best word of each alone. */
function Together({ found, alone, onPick }) {
  const agrees = found[0].token_strs.join() === alone.join();
  return html`<section>
    <h2>All blanks together</h2>
    <p>${agrees
        ? "Here the best words of each blank alone are also the best together."
        : html`The best word of each blank alone is <em>${alone.join(" … ")}</em>. Read together, other words win:`}</p>
    <${Bars} label="Fillings of all blanks"
      items=${found.map((one) => ({ name: one.token_strs.join(" … "), words: one.token_strs, score: one.score }))}
      onPick=${({ words }) => onPick(words)} />
  </section>`;
}
