// The page's requests. All go to the listener that served the page; the key goes there once, in a header.

export class Failure extends Error {
  constructor(status, error) {
    super(error?.message || `The server has responded with status ${status}`);
    this.status = status;
    this.code = error?.code;
    this.reason = error?.reason;
    this.violations = error?.violations ?? [];
    if (status === 403) this.title = "Your key does not allow this";
    if (status === 404) this.title = "Not found";
    if (status === 431) { this.title = "Too long"; this.message = "The text is too long for one request."; }
    if (status === 0) { this.title = "The server does not respond"; this.message = "It may be restarting. The page tries again by itself where it can."; }
  }
}

export const session = { open: false, signed_in: false, project: "default", key_name: undefined };
const signedOut = new EventTarget();

export function onSignedOut(body) {
  signedOut.addEventListener("signedout", body);
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0);
  }
  let body;
  try {
    body = await response.json();
  } catch {
    body = undefined;
  }
  if (response.ok && body !== undefined) return body;
  if (response.status === 401 && path !== "/api/session") signedOut.dispatchEvent(new Event("signedout"));
  throw new Failure(response.status, body?.error);
}

// Asks for one thing of the project that is shown.
export function get(query, parameters, signal) {
  const search = new URLSearchParams({ project: session.project });
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== undefined && value !== "") search.set(name, value);
  }
  return send(`/api/${query}?${search}`, { signal });
}

export async function readSession() {
  Object.assign(session, { key_name: undefined }, await send("/api/session"));
  return session;
}

export async function signIn(project, key) {
  await send(`/api/session?${new URLSearchParams({ project })}`, {
    method: "POST", headers: { authorization: `Bearer ${key}` },
  });
  return readSession();
}

export async function signOut() {
  await send("/api/session/end", { method: "POST" });
  session.signed_in = false;
}
