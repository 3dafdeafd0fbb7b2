// A call to the server in, its answer as it comes out: what is under way, what failed, what was said.

import { useEffect, useState } from "./preact.js";
import { ask } from "./api.js";

const PAUSE_MS = 250; // without a keystroke, before the server is asked

/** Ask whenever `call` is another one: `{answer, error, busy}`.
 *
 * `call` is `{path, body}`, or null for nothing to ask. While the next answer is under way the last
 * one stays, with the call that it is an answer to.
 */
export function useAnswer(call) {
  const [state, setState] = useState({ busy: false });
  const wanted = call && JSON.stringify(call);
  useEffect(() => {
    if (!wanted) {
      setState({ busy: false });
      return undefined;
    }
    const given = new AbortController();
    setState((last) => ({ ...last, busy: true }));
    const timer = setTimeout(async () => {
      try {
        const answer = await ask(call, given.signal);
        setState({ answer, to: call, busy: false });
      } catch (error) {
        if (error.name !== "AbortError") setState({ error, busy: false });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      given.abort();
    };
  }, [wanted]);
  return state;
}
