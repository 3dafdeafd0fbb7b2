// Lines of text as vectors: how alike they are, where they lie, and which are nearest to a question.

import { html } from "./preact.js";
import { useAnswer } from "./asking.js";
import { Bars, Field, HeatMap, Progress, SameCalls } from "./parts.js";
import { cosines, principalPlane } from "./maths.js";
import { fixed, lines, percent } from "./words.js";

export const title = "Sentences";
export const tasks = ["embed"];
export const defaults = {
  texts: [
    "A river runs through the valley.",
    "The stream crosses a green meadow.",
    "Boats drift slowly down the water.",
    "She baked bread and served it with butter.",
    "The soup was hot and tasted of garlic.",
    "They cooked dinner for their friends.",
    "The bank raised its interest rates.",
    "Shares fell sharply on Monday.",
    "The company reported higher profits.",
  ].join("\n"),
  query: "What can we eat tonight?",
};

const MOST = 60; // lines that are read
const MOST_IN_TABLE = 16;
const MOST_NAMED = 12; // points of a map whose words are beside them
const SIDE = 320; // of the map, in units of its own, as are the next
const [NAME_WIDTH, NAME_HEIGHT] = [120, 13];

export function Panel({ fields, change, choice }) {
  const texts = lines(fields.texts).slice(0, MOST);
  const query = fields.query.trim();
  const embed = texts.length ? choice.call("embed", { inputs: texts, truncate: true }) : null;
  const near = texts.length && query
    ? choice.call("similarity", { inputs: { source_sentence: query, sentences: texts } })
    : null;
  const reranker = choice.modelFor("rerank");
  const rank = near && reranker ? choice.call("rerank", { query, texts, truncate: true }) : null;
  const [vectors, alike, ranked] = [useAnswer(embed), useAnswer(near), useAnswer(rank)];
  return html`<h1>Which sentences mean alike?</h1>
    <p class="lead">Each sentence becomes a list of numbers, a place in space. Sentences that mean alike
      lie near each other, even if they share no word.</p>
    <${Field} label="One sentence a line" rows=${Math.max(4, Math.min(10, texts.length))} value=${fields.texts}
      onInput=${(text) => change({ texts: text })} hint="Paste your own; at most ${MOST} lines are read." />
    <${Progress} of=${vectors} />
    ${texts.length > 1 && vectors.answer?.length > 1
      ? html`<${Space} texts=${vectors.to.body.inputs} vectors=${vectors.answer} />`
      : ""}
    <section>
      <h2>Search in these lines</h2>
      <${Field} label="Your question" value=${fields.query} onInput=${(text) => change({ query: text })} />
      <${Progress} of=${[alike, ranked]} />
      <div class=${rank ? "columns wide" : ""}>
        ${near && alike.answer
          ? html`<${Nearest} name="By their vectors" written=${hundredths}
              scores=${alike.to.body.inputs.sentences.map((name, i) => ({ name, score: alike.answer[i] }))} />`
          : ""}
        ${rank && ranked.answer
          ? html`<${Nearest} name="Read beside the question, by ${reranker.id}" written=${percent}
              scores=${ranked.answer.map(({ index, score }) => ({ name: ranked.to.body.texts[index], score }))} />`
          : ""}
      </div>
    </section>
    <${SameCalls} calls=${[embed, near, rank]} />`;
}

const hundredths = (value) => fixed(value, 2);
const short = (value) => hundredths(value).replace("0.", ".").replace("1.00", "1");

function Nearest({ name, scores, written }) {
  const best = [...scores].sort((a, b) => b.score - a.score).slice(0, 5);
  return html`<div><h3>${name}</h3><${Bars} label=${name} items=${best} written=${written} /></div>`;
}

function Space({ texts, vectors }) {
  const few = texts.slice(0, MOST_IN_TABLE);
  const { places, kept } = principalPlane(vectors);
  return html`<div class="columns wide">
    <${Places} places=${places} texts=${texts} kept=${kept} />
    <div>
      <${HeatMap} caption="Cosine of each pair: 1 is the same direction" corner="" names=${few.map((_, i) => i + 1)}
        values=${cosines(vectors.slice(0, few.length))} written=${short} long=${few} />
      ${texts.length > few.length && html`<p class="hint">The table shows the first ${few.length} lines, the map all.</p>`}
    </div>
  </div>`;
}

/** The first words of a line, as many as have room. */
function beginning(text) {
  const cut = text.slice(0, 22).replace(/\s+\S*$/, "");
  return text.length > 22 ? `${cut}…` : text;
}

/** The lines as numbered points on a plane. */
function Places({ places, texts, kept }) {
  const reach = Math.max(1e-9, ...places.flat().map(Math.abs));
  const at = (value) => SIDE / 2 + (value / reach) * (SIDE / 2 - 20);
  const points = places.map(([x, y], i) => ({ x: at(x), y: at(-y), text: texts[i], number: i + 1 }));
  const named = texts.length > MOST_NAMED ? [] : apart(points);
  // Of points that hide each other the one whose words are shown is above.
  const drawn = [...points.filter((point) => !named.includes(point)), ...named];
  const share = Math.round(100 * kept);
  return html`<figure>
    <svg viewBox="0 0 ${SIDE} ${SIDE}" role="img" aria-label="Map of the ${texts.length} lines: near each other are those that mean alike">
      <path class="axis" d="M0 ${SIDE / 2}H${SIDE}M${SIDE / 2} 0V${SIDE}" />
      ${drawn.map((point) => html`<${Point} key=${point.number} named=${named.includes(point)} ...${point} />`)}
    </svg>
    <figcaption>The two directions in which the lines differ most (principal components). They show ${share} % of how they differ.</figcaption>
  </figure>`;
}

/** The points beside which there is room for their words. */
function apart(points) {
  const near = (a, b) => Math.abs(a.x - b.x) < NAME_WIDTH && Math.abs(a.y - b.y) < NAME_HEIGHT;
  return points.reduce((free, point) => (free.some((other) => near(other, point)) ? free : [...free, point]), []);
}

function Point({ x, y, text, number, named }) {
  const [side, away] = x > SIDE / 2 ? ["named left", -13] : ["named", 13];
  return html`<g class="place">
    <title>${text}</title>
    <circle cx=${x} cy=${y} r="9" />
    <text x=${x} y=${y + 3.5}>${number}</text>
    ${named && html`<text class=${side} x=${x + away} y=${y + 3.5}>${beginning(text)}</text>`}
  </g>`;
}
