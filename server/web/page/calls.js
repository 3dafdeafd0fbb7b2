// A call to the server in, the same as a command and as Python out.

import { address, hasKey } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The call for a shell. */
export function asCurl({ path, body }) {
  const parts = [`curl -s ${quoted(address(path))}`];
  if (hasKey()) parts.push('-H "authorization: Bearer $CLOZE_KEY"');
  if (body !== undefined) {
    parts.push("-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  }
  return parts.join(" \\\n  ");
}

/** The call in Python, with the library that most people know. */
export function asPython({ path, body }) {
  const given = [`"${address(path)}"`];
  if (body !== undefined) given.push(`json=${literal(body)}`);
  if (hasKey()) given.push('headers={"authorization": "Bearer " + os.environ["CLOZE_KEY"]}');
  const read = path === "metrics" ? "text" : "json()";
  return [
    ...(hasKey() ? ["import os"] : []),
    "import requests",
    "",
    `answer = requests.${body === undefined ? "get" : "post"}(\n    ${given.join(",\n    ")},\n)`,
    `print(answer.${read})`,
  ].join("\n");
}

/** A JSON value as Python writes it. */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value);
    return `{${entries.map(([name, inner]) => `${literal(name)}: ${literal(inner)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
