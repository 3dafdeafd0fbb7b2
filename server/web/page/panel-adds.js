// A text in; its pieces and what is added up for each, how the model was trained, its parameters.

import { html } from "./preact.js";
import { useAnswer } from "./asking.js";
import { Field, Progress, SameCalls } from "./parts.js";
import { random, shuffled } from "./maths.js";
import { fixed, grouped } from "./words.js";

export const title = "What BERT adds up";
export const tasks = null;
export const defaults = { text: "Unbelievable stories travel fast.", pair: "", piece: "2", seed: "7" };

const NUMBERS = 48; // of a vector that are drawn
const WRITTEN = 8; // of those, the ones that are written out
// What is added up, in this order: the answer's name for it, and where the piece says which row.
const ADDED = [
  ["token", "id"],
  ["segment", "token_type_id"],
  ["position", "position"],
];
const RULE = { chosen: 0.15, masked: 0.8, replaced: 0.1 }; // the rest of the chosen stays as it is
const PARTS = {
  embeddings: "Embeddings",
  encoder: "Encoder",
  pooler: "Pooler",
  mlm: "Head for blanks",
  nsp: "Head for the next sentence",
};

export function Panel({ fields, change, choice }) {
  const { text, pair } = fields;
  const model = choice.own;
  const said = text.trim();
  const inputs = pair.trim() ? { text, text_pair: pair } : text;
  const tokenize = said ? choice.call("tokenize", { inputs, embeddings: NUMBERS }, model) : null;
  const embed = said && !pair.trim() ? choice.call("embed", { inputs: text, pooling: "none" }, model) : null;
  const about = choice.call("info", undefined, model);
  const [tokens, vectors, info] = [useAnswer(tokenize), useAnswer(embed), useAnswer(about)];
  const pieces = tokens.answer?.[0];
  const rows = vectors.answer?.[0];
  return html`<h1>What BERT adds up</h1>
    <p class="lead">A text becomes pieces of words. Each piece enters as the sum of three vectors: what it is, which
      sentence it is in, and where it stands. The layers then let all pieces look at each other.</p>
    <div class="inputs side">
      <${Field} label="Your text" rows=${2} value=${text} onInput=${(value) => change({ text: value })} />
      <${Field} label="A second text (optional)" rows=${2} value=${pair} onInput=${(value) => change({ pair: value })} />
    </div>
    <${Progress} of=${[tokens, vectors, info]} />
    ${pieces && html`<${Pieces} pieces=${pieces} rows=${!pair.trim() && rows?.length === pieces.length ? rows : null}
      layers=${info.answer?.architecture.num_hidden_layers} chosen=${fields.piece} choose=${(piece) => change({ piece })} />`}
    ${pieces && info.answer && html`<${Masking} pieces=${pieces} seed=${fields.seed} change=${change} choice=${choice} vocabulary=${info.answer.architecture.vocab_size} />`}
    ${info.answer && html`<${Parameters} info=${info.answer} />`}
    <${SameCalls} calls=${[tokenize, embed, about]} />`;
}

/** What is added up for a piece: `[{name, row, numbers}]`, and the sum. */
function addedUp(piece) {
  const parts = ADDED.map(([name, row]) => ({ name, row: piece[row], numbers: piece.embeddings[name] }))
    .filter(({ numbers }) => numbers !== null);
  const sum = parts[0].numbers.map((_, k) => parts.reduce((total, { numbers }) => total + numbers[k], 0));
  return { parts, sum };
}

function Pieces({ pieces, rows, layers, chosen, choose }) {
  const sums = pieces.map(addedUp);
  const shown = Math.max(0, Math.min(pieces.length - 1, Number(chosen) || 0));
  const names = sums[0].parts.map(({ name }) => name);
  const lacking = ADDED.map(([name]) => name).filter((name) => !names.includes(name));
  // All that is added up is drawn to one scale, so that the eye adds up too.
  const most = Math.max(...sums.flatMap(({ parts, sum }) => [sum, ...parts.map(({ numbers }) => numbers)].flat().map(Math.abs)));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Pieces of the text">
    <table class="pieces">
      <caption>What goes in, piece by piece</caption>
      <thead>
        <tr>
          <th scope="col">Piece</th>
          ${names.map((name, i) => html`<th scope="col">${i ? "+ " : ""}${name}</th>`)}
          <th scope="col">= goes in</th>
          ${rows && html`<th scope="col">after ${layers ?? "all"} layers</th>`}
        </tr>
      </thead>
      <tbody>
        ${pieces.map((piece, i) => html`<tr class=${piece.special ? "special" : ""}>
          <th scope="row"><button type="button" class="word" aria-pressed=${String(i === shown)}
            aria-label="${piece.token}: show its numbers" onClick=${() => choose(String(i))}>${piece.token}</button></th>
          ${sums[i].parts.map(({ row, numbers }) => html`<td>${row}<${Strip} numbers=${numbers} most=${most} /></td>`)}
          <td><${Strip} numbers=${sums[i].sum} most=${most} /></td>
          ${rows && html`<td><${Strip} numbers=${rows[i].slice(0, NUMBERS)} /></td>`}
        </tr>`)}
      </tbody>
    </table>
  </div>
  <p class="hint">The first ${sums[0].sum.length} numbers of each vector: upwards above 0, downwards below.
    ${lacking.length > 0 && ` This model adds no ${lacking.join(" and no ")} embedding.`}</p>
  <${Numbers} piece=${pieces[shown]} ...${sums[shown]} />`;
}

/** The beginning of one piece's vectors as numbers, one below the other. */
function Numbers({ piece, parts, sum }) {
  const lines = [
    ...parts.map(({ name, row, numbers }, i) => [`${i ? "+ " : ""}${name} ${row}`, numbers]),
    ["= goes in", sum],
  ];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Numbers of one piece">
    <table class="numbers">
      <caption>The first ${Math.min(WRITTEN, sum.length)} numbers of <code>${piece.token}</code></caption>
      <tbody>
        ${lines.map(([name, numbers]) => html`<tr><th scope="row">${name}</th>
          ${numbers.slice(0, WRITTEN).map((number) => html`<td>${fixed(number, 3)}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>
  <p class="hint">Before the first layer the sum is normalised: its numbers are shifted to an average of 0 and stretched to one size.</p>`;
}

/** Numbers as small bars around a line, of which the largest, or `most`, has the full height. */
function Strip({ numbers, most = Math.max(...numbers.map(Math.abs)) }) {
  const path = numbers.map((number, i) => `M${4 * i + 2} 12v${(-11 * number) / (most || 1)}`).join("");
  return html`<svg class="strip" viewBox="0 0 ${4 * numbers.length} 24" preserveAspectRatio="none" aria-hidden="true"><path d=${path} /></svg>`;
}

/** The pieces as training would show them: 15 % chosen, of which most are hidden. */
function Masking({ pieces, seed, change, choice, vocabulary }) {
  const draw = random(Number(seed) || 0);
  const own = pieces.flatMap(({ special }, i) => (special ? [] : [i]));
  const count = Math.max(1, Math.round(own.length * RULE.chosen));
  const fates = Object.fromEntries(
    shuffled(own, draw).slice(0, count).map((i) => {
      const lot = draw();
      const fate = lot < RULE.masked ? "masked" : lot < RULE.masked + RULE.replaced ? "replaced" : "kept";
      return [i, { fate, id: Math.floor(draw() * vocabulary) }];
    }),
  );
  const ids = Object.values(fates).filter(({ fate }) => fate === "replaced").map(({ id }) => [id]);
  const spelled = useAnswer(ids.length ? choice.call("decode", { ids, skip_special_tokens: false }, choice.own) : null);
  const words = Object.fromEntries(ids.map(([id], i) => [id, spelled.answer?.[i] ?? "…"]));
  const shown = { masked: () => "[MASK]", replaced: ({ id }) => words[id], kept: (_, plain) => plain };
  return html`<section>
    <h2>How it was trained</h2>
    <p>Of all pieces 15 % are chosen. Of those, 80 % are hidden, 10 % become some other word, and 10 % stay. BERT
      has to say what stood in each of the chosen places, so it can trust none of the words it sees.</p>
    <p class="sentence read">
      ${pieces.map(({ token, text, start, special }, i) => {
        const fate = fates[i];
        if (special) return "";
        // Models with MeCab's words do not say where a piece stands.
        const plain = start === null ? token : text;
        const joins = !fate && !fates[i - 1] && start !== null && start === pieces[i - 1].stop;
        return html`${joins ? "" : " "}${fate
            ? html`<mark class=${fate.fate}>${shown[fate.fate](fate, plain)}<span class="tag">${fate.fate === "kept" ? "kept" : `was ${plain}`}</span></mark>`
            : plain}`;
      })}
    </p>
    <div class="row">
      <${Field} label="Seed" type="number" value=${seed} onInput=${(value) => change({ seed: value })} />
      <button type="button" onClick=${() => change({ seed: String((Number(seed) || 0) + 1) })}>Draw again</button>
    </div>
  </section>`;
}

function Parameters({ info }) {
  const { total, textbook, ...parts } = info.parameters;
  const { vocab_size: V, hidden_size: H, num_hidden_layers: L } = info.architecture;
  return html`<section>
    <h2>${grouped(total)} parameters</h2>
    <p>The textbook counts <span class="formula">V · H + L · 12 · H²</span>: a vector of H numbers for each of V pieces, and
      twelve squares of H in each of L layers. For ${info.model} that is ${grouped(V)} · ${H} + ${L} · 12 · ${H}² = ${grouped(textbook)},
      or ${(100 * textbook / total).toFixed(1)} % of what is there.</p>
    <ol class="bars" aria-label="Parameters by part">
      ${Object.entries(parts).map(([part, count]) => html`<li key=${part}><div class="bar">
        <span class="bar-fill" style=${{ "--p": count / total }}></span><span class="bar-name">${PARTS[part] ?? part}</span>
        <span class="bar-score">${grouped(count)}</span></div></li>`)}
    </ol>
  </section>`;
}
