// What the server counts, asked again and again: a small chart of the last minutes for each figure.

import { html, useEffect, useState } from "./preact.js";
import { ask } from "./api.js";
import { useAnswer } from "./asking.js";
import { Progress, SameCalls } from "./parts.js";
import { bucketsOf, quantile, samplesOf, sumIfCounted, sumOf } from "./prometheus.js";
import { grouped } from "./words.js";

export const title = "Live";
export const tasks = null;
export const defaults = {};

const EVERY_MS = 2000;
const MINUTES = 5;
const LEAST_S = 30; // that a chart shows
const [WIDTH, HEIGHT] = [240, 56];
// What this page and those who watch ask is not the server's work.
const WATCHING = new Set([
  ...["/metrics", "/livez", "/readyz", "/health", "/ping", "/models", "/", "/page/{name}"],
  ...["/docs", "/docs/{name}", "/openapi.json", "/info", "/models/{model}/info"],
]);
const isWork = ({ route }) => !WATCHING.has(route);

const rounded = (value) =>
  value >= 100 ? grouped(value) : value.toFixed(value >= 10 || value === 0 ? 0 : 1);
const share = (part, whole) => (whole ? (100 * part) / whole : null);
// Name, unit, value of a step, and the counter that it needs where not every server has it.
const CHARTS = [
  ["Requests", "a second", ({ requests, seconds }) => requests / seconds],
  ["Latency, 95th percentile", "ms", ({ slow }) => slow && 1000 * slow],
  ["Latency, mean", "ms", ({ requests, spent }) => (requests ? (1000 * spent) / requests : null)],
  ["Tokens computed", "a second", ({ tokens, seconds }) => tokens / seconds],
  ["Tokens that wait", "now", ({ queued }) => queued],
  ["Texts in a batch", "on average", ({ items, batches }) => (batches ? items / batches : null)],
  ["Fill of a batch", "% of its tokens", ({ tokens, batches, room }) => share(tokens, batches * room)],
  ["Padding spared", "% of a padded batch", ({ padding, tokens }) => share(padding, tokens + padding), "padding"],
  ["Rows spared", "% of the last layer's", ({ rows, tokens }) => share(rows, tokens), "rows"],
  ["Logits spared", "rows a second", ({ logits, seconds }) => logits / seconds, "logits"],
  ["Refused or failed", "a second", ({ refused, seconds }) => refused / seconds],
];

/** One reading of `/metrics`: totals since the server's start, and what is now. */
function reading(text) {
  const samples = samplesOf(text);
  const sum = (name, pleases) => sumOf(samples, `cloze_${name}`, pleases);
  return {
    at: performance.now() / 1000,
    requests: sum("requests_total", isWork),
    refused: sum("requests_total", (labels) => isWork(labels) && Number(labels.status) >= 400),
    spent: sum("request_seconds_sum", isWork),
    buckets: bucketsOf(samples, "cloze_request_seconds", isWork),
    tokens: sum("tokens_total"),
    items: sum("items_total"),
    batches: sum("batches_total"),
    queued: sum("queued_tokens"),
    padding: sumIfCounted(samples, "cloze_spared_padding_tokens_total"),
    rows: sumIfCounted(samples, "cloze_spared_last_layer_rows_total"),
    logits: sumIfCounted(samples, "cloze_spared_vocabulary_rows_total"),
  };
}

/** What happened between two readings. */
function between(last, next, room) {
  const grown = ["requests", "refused", "spent", "tokens", "items", "batches", "padding", "rows", "logits"];
  return {
    ...Object.fromEntries(grown.map((name) => [name, Math.max(0, next[name] - last[name])])),
    seconds: next.at - last.at,
    slow: quantile(0.95, last.buckets, next.buckets),
    queued: next.queued,
    at: next.at,
    room,
  };
}

export function Panel({ choice }) {
  const [readings, setReadings] = useState([]);
  const [paused, pause] = useState(false);
  const [state, setState] = useState({ busy: true });
  const about = choice.call("info", undefined, choice.own);
  const info = useAnswer(about);
  const call = { path: "metrics" };
  useEffect(() => {
    if (paused) return undefined;
    const given = new AbortController();
    let timer;
    const look = async () => {
      try {
        if (!document.hidden) {
          const next = reading(await ask(call, given.signal));
          const oldest = next.at - 60 * MINUTES;
          setReadings((last) => [...last.filter(({ at }) => at >= oldest), next]);
          setState({});
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        setState({ error });
      }
      timer = setTimeout(look, EVERY_MS);
    };
    look();
    return () => {
      given.abort();
      clearTimeout(timer);
    };
  }, [paused]);
  const room = info.answer?.max_batch_tokens;
  const steps = room
    ? readings.slice(1).map((next, i) => between(readings[i], next, room))
    : [];
  return html`<h1>What the server is doing</h1>
    <p class="lead">All that this server answers, of all clients and models, over the last ${MINUTES} minutes. What
      this page asks to draw it is left out. Spared is what is never computed since nobody reads it: padding, rows of
      the last layer, logits where no word is hidden.</p>
    <p><button type="button" aria-pressed=${String(paused)} onClick=${() => pause(!paused)}>Pause</button></p>
    <${Progress} of=${[state, info]} />
    <div class="charts">
      ${CHARTS.map(([name, unit, value, counter]) =>
        counter && readings.at(-1)?.[counter] === null
          ? html`<figure class="chart" key=${name}><figcaption>${name}</figcaption><p class="hint">This server does not count it.</p></figure>`
          : html`<${Chart} key=${name} name=${name} unit=${unit} points=${steps.map((step) => [step.at, value(step)])} />`)}
    </div>
    <${SameCalls} calls=${[call]} />`;
}

/** One figure over time; where it has no value, as when nothing was asked, the line has a gap. */
function Chart({ name, unit, points }) {
  const known = points.filter(([, value]) => value !== null);
  const end = points.at(-1)?.[0] ?? 0;
  const span = Math.max(LEAST_S, end - (points[0]?.[0] ?? end));
  const most = Math.max(1e-9, ...known.map(([, value]) => value));
  const x = (at) => (WIDTH * (at - end + span)) / span;
  const y = (value) => HEIGHT - 2 - ((HEIGHT - 6) * value) / most;
  const path = points
    .map(([at, value], i) => {
      if (value === null) return "";
      const joins = i > 0 && points[i - 1][1] !== null;
      return `${joins ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}${joins ? "" : "h.1"}`;
    })
    .join("");
  const now = known.length ? rounded(known.at(-1)[1]) : "–";
  return html`<figure class="chart">
    <figcaption>${name}</figcaption>
    <p class="figure">${now} <span class="hint">${unit}</span></p>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" preserveAspectRatio="none"
      aria-label="${name} in the last ${Math.ceil(span / 60)} min: ${known.length ? `last ${now}, most ${rounded(most)} ${unit}` : "nothing yet"}">
      <path class="axis" d="M0 ${HEIGHT - 1}H${WIDTH}" /><path class="line" d=${path} />
    </svg>
  </figure>`;
}
