// Two sentences, or a story in disorder: which sentence follows which, as the model has it.

import { html } from "./preact.js";
import { useAnswer } from "./asking.js";
import { Bars, Examples, Field, HeatMap, Progress, SameCalls } from "./parts.js";
import { likeliestOrder, random, shuffled } from "./maths.js";
import { lines } from "./words.js";

export const title = "Next sentence";
export const tasks = ["nsp"];
export const defaults = {
  first: "The train was late.",
  second: "We waited on the platform for an hour.",
  story:
    "The kettle began to whistle.\nThe home team scored the first goal.\nAnna poured the hot water over the tea.\nThe crowd rose and cheered.\nShe drank it slowly by the window.\nThe match ended in a draw.",
  seed: "1",
};

const MOST = 10; // sentences of a story: all orders of them are compared
const EXAMPLES = [
  ["a train", defaults.first, defaults.second],
  ["bees", "The train was late.", "Honey is made by bees."],
  ["tea", "He put the kettle on.", "Soon the water was boiling."],
];

export function Panel({ fields, change, choice }) {
  const pair = fields.first.trim() && fields.second.trim()
    ? choice.call("nsp", { inputs: { text: fields.first, text_pair: fields.second } })
    : null;
  const told = useAnswer(pair);
  const story = lines(fields.story).slice(0, MOST);
  const pairs = story.flatMap((text, i) =>
    story.flatMap((next, j) => (i === j ? [] : [{ text, text_pair: next }])),
  );
  // The story stays with its answer, which is shown until the next one is there.
  const all = pairs.length ? { ...choice.call("nsp", { inputs: pairs }), about: { story } } : null;
  const matrix = useAnswer(all);
  const shuffle = () => {
    const seed = Number(fields.seed) + 1 || 1;
    change({ story: shuffled(story, random(seed)).join("\n"), seed: String(seed) });
  };
  return html`<h1>Does this sentence follow?</h1>
    <p class="lead">BERT was also shown two sentences at a time and asked whether the second came next in
      the book, or from somewhere else. It tells well what belongs together, and less well what comes first.</p>
    <div class="inputs side">
      <${Field} label="A sentence" rows=${2} value=${fields.first} onInput=${(first) => change({ first })} />
      <${Field} label="What may come next" rows=${2} value=${fields.second} onInput=${(second) => change({ second })} />
    </div>
    <${Examples} texts=${EXAMPLES} onPick=${(first, second) => change({ first, second })} />
    <${Progress} of=${told} />
    ${pair && told.answer
      ? html`<${Bars} label="Whether the second sentence follows" items=${[
          { name: "It follows", score: told.answer.probability },
          { name: "It comes from somewhere else", score: 1 - told.answer.probability },
        ]} />`
      : ""}
    <section>
      <h2>Stories in disorder</h2>
      <p>Each sentence is tried after each other one; the deeper the colour of a cell, the likelier it follows. From the
        table comes the likeliest order of the whole.</p>
      <${Field} label="One sentence a line" rows=${Math.max(3, Math.min(8, story.length))} value=${fields.story}
        onInput=${(text) => change({ story: text })} hint="At most ${MOST} lines are read." />
      <p><button type="button" onClick=${shuffle}>Shuffle</button></p>
      <${Progress} of=${matrix} />
      ${all && matrix.answer
        ? html`<${Story} story=${matrix.to.about.story} answers=${matrix.answer} />`
        : ""}
    </section>
    <${SameCalls} calls=${[pair, all]} />`;
}

function Story({ story, answers }) {
  const n = story.length;
  const follows = story.map((_, i) =>
    story.map((__, j) => (i === j ? null : answers[i * (n - 1) + j - (j > i ? 1 : 0)].probability)),
  );
  return html`<div class="columns wide">
    <${HeatMap} caption="How likely the sentence of the column follows that of the row, in %"
      corner="" names=${story.map((_, i) => i + 1)} values=${follows} written=${(p) => Math.round(100 * p)} long=${story} />
    <div>
      <h3>The likeliest order</h3>
      <ol class="order">
        ${likeliestOrder(follows).map((i) => html`<li key=${i}><span class="number">${i + 1}</span> ${story[i]}</li>`)}
      </ol>
    </div>
  </div>`;
}
