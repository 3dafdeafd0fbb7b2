// The server's models in, the page out: which panels there are, which one is shown, and its address.

import { html, render, useEffect, useRef, useState } from "./preact.js";
import { ask, hasKey, setKey } from "./api.js";
import { Field } from "./parts.js";
import { addressOf, readAddress } from "./url.js";
import * as fill from "./panel-fill.js";
import * as following from "./panel-following.js";
import * as sentences from "./panel-sentences.js";
import * as labels from "./panel-labels.js";
import * as adds from "./panel-adds.js";
import * as live from "./panel-live.js";

// In the order in which they are shown. Each has a `name`, a `title`, its fields' `defaults`, the
// tasks of which a model must have one (none: always shown), and a `Panel`.
const PANELS = Object.entries({ fill, following, sentences, labels, adds, live });
const AGAIN_MS = 1500;
const WRITTEN_AFTER_MS = 200; // browsers bound how often an address may change

/** Which model answers a task: the chosen one, or the first that can and was made for no other. */
function choice(models, chosen) {
  const own = models.find((model) => model.id === chosen) ?? models[0];
  const modelFor = (task, others = []) => {
    const able = [own, ...models].filter((model) => model.tasks.includes(task));
    const apart = able.find((model) => !others.some((other) => model.tasks.includes(other)));
    return able[0] === own ? own : (apart ?? able[0]);
  };
  return {
    own,
    modelFor,
    /** The call of a task, at the root where there is one model alone. */
    call(task, body, model = modelFor(task)) {
      const path = models.length === 1 ? task : `models/${encodeURIComponent(model.id)}/${task}`;
      return { path, body };
    },
  };
}

function App() {
  const [found, setFound] = useState({});
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let timer;
    ask({ path: "models" }).then(
      ({ data }) => setFound({ models: data.filter((model) => model.id === model.root) }),
      (error) => {
        setFound({ error });
        if (error.status !== 401) timer = setTimeout(() => setTries(tries + 1), AGAIN_MS);
      },
    );
    return () => clearTimeout(timer);
  }, [tries]);
  if (found.models) return html`<${Page} models=${found.models} />`;
  return html`<${Frame}>
    <main id="content" tabindex="-1">
      ${found.error?.status === 401
        ? html`<${AskKey} wrong=${hasKey()} onKey=${() => setTries(tries + 1)} />`
        : html`<p role="status" class="notice">${found.error?.message ?? "Loading…"}</p>`}
    </main>
  <//>`;
}

function AskKey({ wrong, onKey }) {
  const [key, change] = useState("");
  const send = (event) => {
    event.preventDefault();
    setKey(key.trim());
    onKey();
  };
  return html`<form class="notice" onSubmit=${send}>
    <h1>This server asks for a key</h1>
    ${wrong && html`<p role="alert" class="error">The API key is not known here.</p>`}
    <${Field} label="API key" type="password" value=${key} onInput=${change} required
      hint="It is kept until this tab is closed, and sent to this server alone." />
    <button type="submit">Go on</button>
  </form>`;
}

function Frame({ children, aside }) {
  return html`<header class="top">
      <p class="mark"><a href="#fill">Cl<span>o</span>ze</a></p>
      ${aside}
    </header>
    ${children}`;
}

function Page({ models }) {
  const shown = PANELS.filter(
    ([, { tasks }]) => !tasks || models.some((model) => tasks.some((task) => model.tasks.includes(task))),
  );
  const [state, setState] = useState(() => stateFrom(readAddress(), shown, {}));
  const { name, model, memory } = state;
  const panel = shown.find(([each]) => each === name)[1];
  const fields = { ...panel.defaults, ...memory[name] };
  const chosen = choice(models, model);
  const address = hrefOf(name, memory, chosen, models);
  const main = useRef(null);
  const shownAt = useRef(address);
  shownAt.current = address;

  useEffect(() => {
    const follow = () => {
      if (location.hash === "#content") {
        history.replaceState(null, "", shownAt.current);
        main.current.focus();
        return;
      }
      setState((last) => stateFrom(readAddress(), shown, last.memory));
      main.current.focus();
      scrollTo(0, 0);
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    // On a phone the panels' names are wider than the screen.
    document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  }, [name]);
  useEffect(() => {
    document.title = `${panel.title} · Cloze`;
    const timer = setTimeout(() => history.replaceState(null, "", address), WRITTEN_AFTER_MS);
    return () => clearTimeout(timer);
  }, [address]);

  const change = (changed) =>
    setState((last) => ({
      ...last,
      memory: { ...last.memory, [name]: { ...last.memory[name], ...changed } },
    }));
  const choose = (event) => setState((last) => ({ ...last, model: event.target.value }));
  const aside =
    models.length > 1
      ? html`<label class="model">Model
          <select value=${chosen.own.id} onChange=${choose}>
            ${models.map(({ id }) => html`<option value=${id} selected=${id === chosen.own.id}>${id}</option>`)}
          </select>
        </label>`
      : html`<p class="model">${chosen.own.id}</p>`;
  return html`<${Frame} aside=${aside}>
    <nav aria-label="Panels">
      <ul>
        ${shown.map(
          ([each, { title }]) =>
            html`<li><a href=${hrefOf(each, memory, chosen, models)} aria-current=${each === name ? "page" : null}>${title}</a></li>`,
        )}
      </ul>
    </nav>
    <main id="content" tabindex="-1" ref=${main}>
      <${panel.Panel} key=${name} fields=${fields} change=${change} models=${models} choice=${chosen} />
    </main>
    <footer><p>Everything here is answered by this server; nothing leaves it. <a href=${new URL("../docs", import.meta.url).href}>Documentation of its API</a></p></footer>
  <//>`;
}

/** The address of a panel as it was left, with the model where it is not the first. */
function hrefOf(name, memory, chosen, models) {
  const { defaults } = PANELS.find(([each]) => each === name)[1];
  const fields = { ...defaults, ...memory[name], model: chosen.own.id };
  return addressOf(name, fields, { ...defaults, model: models[0].id });
}

/** What an address asks to be shown; a panel that is not there leads to the first. */
function stateFrom({ panel, fields: { model, ...fields } }, shown, memory) {
  const [name, { defaults }] = shown.find(([each]) => each === panel) ?? shown[0];
  const known = Object.fromEntries(Object.entries(fields).filter(([field]) => field in defaults));
  return { name, model, memory: { ...memory, [name]: name === panel ? known : memory[name] } };
}

render(html`<${App} />`, document.getElementById("app"));
