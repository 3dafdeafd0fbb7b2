// A path and a body in, the server's answer out, or a `Refusal` that says in a sentence what is wrong.
//
// Every address is taken from where this file lies, so the page works behind a proxy that puts
// something in front of paths.

const ROOT = new URL("../", import.meta.url);
const KEY = "cloze-key";

/** What the server refused, or why it could not be asked. */
export class Refusal extends Error {
  constructor(sentence, { status = 0, code = "" } = {}) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

/** The full address of a path of this server. */
export const address = (path) => new URL(path, ROOT).href;

/** Whether an API key was given, which is kept until the tab is closed. */
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/** Keep an API key for this tab. */
export const setKey = (key) => sessionStorage.setItem(KEY, key);

/** Ask `path`: with a body by POST, otherwise by GET; the answer is JSON, or text where it is not. */
export async function ask({ path, body }, signal) {
  const headers = hasKey() ? { authorization: `Bearer ${sessionStorage.getItem(KEY)}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached. Is it running, and are you connected to it?");
  }
  if (answer.ok) return isJson(answer) ? answer.json() : answer.text();
  const { error, code } = isJson(answer) ? await answer.json() : {};
  throw new Refusal(error ?? `The server answered with status ${answer.status}.`, {
    status: answer.status,
    code,
  });
}

const isJson = (answer) => (answer.headers.get("content-type") ?? "").includes("json");
