// A text in; its surprising words, its names, its labels, and the answer to a question marked in it.
//
// Each part is there if some loaded model has the head for it.

import { html } from "./preact.js";
import { useAnswer } from "./asking.js";
import { Bars, Field, Progress, SameCalls } from "./parts.js";
import { parted, percent } from "./words.js";

export const title = "Words and labels";
export const tasks = ["score", "token-classification", "predict", "question-answering"];
export const defaults = {
  odd: "She stirred her coffee with a bicycle.",
  text: "Clara lives in Berkeley and Omar lives in Oslo.",
  own: "film, food, travel",
  context: "Clara lives in Berkeley.",
  question: "Where does Clara live?",
};

const UNEXPECTED_BITS = 16; // a chance in 65,536, shown as dark as anything beyond

export function Panel({ fields, change, choice }) {
  const { text } = fields;
  const said = text.trim();
  const labels = fields.own.split(",").map((label) => label.trim()).filter(Boolean);
  const ready = {
    score: fields.odd.trim() && { inputs: fields.odd, parameters: { truncate: true } },
    "token-classification": said && { inputs: text, parameters: { truncate: true } },
    "text-classification": said && { inputs: text, truncate: true },
    "zero-shot-classification": said && labels.length > 1 && {
      inputs: text,
      truncate: true,
      parameters: { candidate_labels: labels, multi_label: true },
    },
    "question-answering": fields.question.trim() && fields.context.trim() && {
      inputs: { question: fields.question, context: fields.context },
      parameters: { top_k: 3 },
    },
  };
  const models = {
    score: choice.modelFor("score"),
    "token-classification": choice.modelFor("token-classification"),
    "text-classification": choice.modelFor("predict", ["rerank", "zero-shot-classification"]),
    "zero-shot-classification": choice.modelFor("zero-shot-classification"),
    "question-answering": choice.modelFor("question-answering"),
  };
  const calls = Object.fromEntries(
    Object.keys(ready).map((task) => [
      task,
      models[task] && ready[task] ? choice.call(task, ready[task], models[task]) : null,
    ]),
  );
  const answers = Object.fromEntries(Object.keys(ready).map((task) => [task, useAnswer(calls[task])]));
  const part = (task, name, lead, shown, field) =>
    models[task] &&
    html`<section>
      <h2>${name}</h2>
      <p>${lead}${models[task] !== choice.own ? html` <span class="hint">Answered by ${models[task].id}.</span>` : ""}</p>
      ${field}
      <${Progress} of=${answers[task]} />
      ${answers[task].answer ? shown(answers[task].answer, answers[task].to.body) : ""}
    </section>`;
  return html`<h1>What is in this text?</h1>
    <p class="lead">What BERT has read it can point at: words that nobody would expect, names, what a text
      is about, the place of an answer. Each takes a small layer, a head, on top of the same network.</p>
    ${part("score", "Surprise", "Each word is hidden in turn. The deeper its colour, the less the model expected it.",
      (answer, body) => html`<${Surprise} text=${body.inputs} tokens=${answer.tokens} />`,
      html`<${Field} label="A sentence" value=${fields.odd} onInput=${(odd) => change({ odd })} />`)}
    ${["token-classification", "text-classification", "zero-shot-classification"].some((task) => models[task]) && html`<section>
      <h2>Names and topics</h2>
      <${Field} label="A text to mark and label" rows=${2} value=${text} onInput=${(value) => change({ text: value })} />
    </section>`}
    ${part("token-classification", "Names", "Words that name something, and what kind of thing it is.",
      (answer, body) => html`<${Marked} text=${body.inputs} none="No names were found."
        spans=${answer.map(({ start, end, entity_group, score }) => ({ start, stop: end, label: entity_group, score }))} />`)}
    ${part("text-classification", "Labels", "What the model was trained to say of a whole text.",
      ([answer]) => html`<${Bars} label="Labels" items=${answer.map(({ label, score }) => ({ name: label, score }))} />`)}
    ${part("zero-shot-classification", "Labels of your own", "Whether the text entails that it is about each of these.",
      (answer) => html`<${Bars} label="Your labels" items=${answer.map(({ label, score }) => ({ name: label, score }))} />`,
      html`<${Field} label="Labels" value=${fields.own} onInput=${(own) => change({ own })} hint="At least two, parted by commas." />`)}
    ${part("question-answering", "Answers", "The answer is a part of the text, which the model points at.",
      (answer, body) => html`<${Answers} context=${body.inputs.context} found=${[answer].flat()} />`,
      html`<div class="inputs side">
        <${Field} label="A text that holds the answer" rows=${3} value=${fields.context} onInput=${(context) => change({ context })} />
        <${Field} label="Your question" rows=${3} value=${fields.question} onInput=${(question) => change({ question })} />
      </div>`)}
    <${SameCalls} calls=${Object.values(calls)} />`;
}

const bitsOf = ({ log_probability: nats }) => -nats / Math.LN2;

function Surprise({ text, tokens }) {
  // Models with MeCab's words do not say where a token stands: theirs are shown side by side.
  const placed = tokens.every(({ start }) => start !== null);
  const parts = placed
    ? parted(text, tokens)
    : tokens.map((token) => ({ text: `${token.token} `, span: token }));
  return html`<p class="sentence read">
      ${parts.map(({ text: part, span }) =>
        span ? html`<span class="cell" title="${bitsOf(span).toFixed(1)} bits" style=${{ "--p": Math.min(1, bitsOf(span) / UNEXPECTED_BITS) }}>${part}</span>` : part,
      )}
    </p>
    <details>
      <summary>As numbers</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Surprise of each piece">
        <table>
          <thead><tr><th scope="col">Piece</th><th scope="col">Probability</th><th scope="col">Surprise, bits</th></tr></thead>
          <tbody>${tokens.map((token) => html`<tr><th scope="row">${token.token}</th><td>${percent(Math.exp(token.log_probability))}</td><td>${bitsOf(token).toFixed(1)}</td></tr>`)}</tbody>
        </table>
      </div>
    </details>`;
}

function Marked({ text, spans, none }) {
  if (!spans.length) return html`<p>${none}</p>`;
  return html`<p class="sentence read">
    ${parted(text, spans).map(({ text: part, span }) =>
      span ? html`<mark>${part}<span class="tag">${span.label}</span></mark>` : part,
    )}
  </p>`;
}

function Answers({ context, found }) {
  const [best] = found;
  return html`<${Marked} text=${context} none="The text does not say it."
      spans=${best.end > best.start ? [{ start: best.start, stop: best.end, label: percent(best.score) }] : []} />
    <${Bars} label="The likeliest answers" items=${found.map(({ answer, score }) => ({ name: answer || "no answer", score }))} />`;
}
