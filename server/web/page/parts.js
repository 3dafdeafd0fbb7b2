// The parts that panels are put together from. Each knows its own look, none knows a task.

import { html, useEffect, useRef, useState } from "./preact.js";
import { asCurl, asPython } from "./calls.js";
import { percent } from "./words.js";

let fields = 0;

/** A labelled field for text, of several lines where `rows` is given. */
export function Field({ label, hint, value, rows, onInput, ...others }) {
  const [id] = useState(() => `field-${(fields += 1)}`);
  const given = {
    id,
    value,
    "aria-describedby": hint ? `${id}-hint` : undefined,
    onInput: (event) => onInput(event.target.value),
    autocomplete: "off",
    ...others,
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${rows ? html`<textarea rows=${rows} ...${given}></textarea>` : html`<input ...${given} />`}
    ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
  </div>`;
}

/** Texts to begin with, one button each; `children` stand behind them. */
export function Examples({ texts, onPick, children }) {
  return html`<p class="examples">
    <span>Try</span>
    ${texts.map(
      ([name, ...value]) =>
        html`<button type="button" class="quiet" onClick=${() => onPick(...value)}>${name}</button>`,
    )}
    ${children}
  </p>`;
}

/** Probabilities, one bar each; a bar can be clicked where `onPick` is given. */
export function Bars({ items, label, onPick, written = percent }) {
  return html`<ol class="bars" aria-label=${label}>
    ${items.map((item) => {
      const inner = html`<span class="bar-fill" style=${{ "--p": Math.max(0, Math.min(1, item.share ?? item.score)) }}></span>
        <span class="bar-name">${item.name}</span>
        <span class="bar-score">${written(item.score)}</span>`;
      return html`<li key=${item.name}>
        ${onPick
          ? html`<button type="button" class="bar" aria-pressed=${String(!!item.chosen)} onClick=${() => onPick(item)}>${inner}</button>`
          : html`<div class="bar">${inner}</div>`}
      </li>`;
    })}
  </ol>`;
}

/** What is under way, and what went wrong, of one or more answers; read out to those who listen. */
export function Progress({ of }) {
  const asked = Array.isArray(of) ? of : [of];
  const [slow, setSlow] = useState(false);
  const busy = asked.some((one) => one.busy);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(busy), busy ? 400 : 0);
    return () => clearTimeout(timer);
  }, [busy]);
  const failed = asked.find((one) => one.error && !one.busy);
  return html`<div class="progress">
    <p role="status" class=${slow ? "under-way" : ""}>${slow ? "The model is reading…" : ""}</p>
    ${failed && html`<p role="alert" class="error">${failed.error.message}</p>`}
  </div>`;
}

/** The calls that do the same as the panel, to copy. */
export function SameCalls({ calls }) {
  const shown = calls.filter(Boolean);
  if (!shown.length) return null;
  return html`<details class="same">
    <summary>The same from a program</summary>
    <h2 class="small">In a shell</h2>
    <${Copyable} text=${shown.map(asCurl).join("\n\n")} name="the command" />
    <h2 class="small">In Python</h2>
    <${Copyable} text=${shown.map(asPython).join("\n\n")} name="the Python code" />
  </details>`;
}

function Copyable({ text, name }) {
  const [told, setTold] = useState("");
  const code = useRef(null);
  useEffect(() => setTold(""), [text]);
  const copy = async () => setTold((await copied(text, code.current)) ? "Copied" : "Select it and copy");
  return html`<div class="copyable">
    <pre tabindex="0" role="region" aria-label=${name}><code ref=${code}>${text}</code></pre>
    <button type="button" aria-label="Copy ${name}" onClick=${copy}>Copy</button>
    <span role="status" class="hint">${told}</span>
  </div>`;
}

/** Copy a text; browsers give the clipboard only to pages that came by HTTPS or from this machine. */
async function copied(text, element) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
    }
  }
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}

/** Numbers from 0 to 1 as a table whose cells are the darker the larger they are. */
export function HeatMap({ caption, names, corner, values, written, long }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table class="heat">
      <caption>${caption}</caption>
      <thead>
        <tr>
          <td>${corner}</td>
          ${names.map((name) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${values.map(
          (row, i) => html`<tr>
            <th scope="row" title=${long?.[i]}>${names[i]}</th>
            ${row.map((value) =>
              value === null
                ? html`<td class="none"><span class="hidden">itself</span></td>`
                : html`<td class="cell" style=${{ "--p": Math.max(0, Math.min(1, value)) }}>${written(value)}</td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
