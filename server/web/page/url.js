// The address behind `#` in, which panel is shown and with what out, and back: `#fill?text=…`.

/** Read the address: `{panel, fields}`, all fields strings. */
export function readAddress() {
  const [, panel, query] = /^#?([^?]*)\??(.*)$/s.exec(location.hash);
  return { panel, fields: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a panel with these fields; what is as it is by default is left out. */
export function addressOf(panel, fields, defaults) {
  const told = Object.entries(fields).filter(([name, value]) => value !== (defaults[name] ?? ""));
  return told.length ? `#${panel}?${new URLSearchParams(told)}` : `#${panel}`;
}
