// Builds the page. Every text becomes a text node: nothing that comes from the service is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

// Longest text that is shown at once, in UTF-16 code units, never half of a pair; the rest follows on request.
const SHOWN_MAX = 400;

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...shown(children));
  return node;
}

// Conditions that do not hold leave nothing behind.
function shown(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== "");
}

export function replace(node, ...children) {
  node.replaceChildren(...shown(children));
}

export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

// A text of a client: its direction and its controls cannot reach what stands beside it.
export function data(text, className) {
  const whole = String(text);
  const properties = { class: `data ${className ?? ""}` };
  if (whole.length <= SHOWN_MAX) return el("bdi", properties, whole);
  const value = el("bdi", properties, `${whole.slice(0, SHOWN_MAX).replace(/[\ud800-\udbff]$/, "")}…`);
  const more = el("button", {
    type: "button", class: "link", "aria-expanded": "false",
    onclick: () => { value.textContent = whole; more.remove(); },
  }, `Show all ${whole.length.toLocaleString("en")} characters`);
  return el("span", {}, value, " ", more);
}

export function badge(text, kind) {
  return el("span", { class: `badge ${kind ?? ""}` }, text);
}

// A part of the page with its heading.
export function card(title, properties, ...children) {
  const id = `part-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el("section", { class: `card ${properties?.class ?? ""}`, "aria-labelledby": id },
    el("header", {}, el("h2", { id }, title), properties?.aside), ...children);
}

export function table(caption, headings, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading)))),
      el("tbody", {}, rows)));
}

export function empty(title, text) {
  return el("div", { class: "empty" }, el("p", { class: "strong" }, title), text && el("p", {}, text));
}

export function failure(error, retry) {
  return el("div", { class: "failure", role: "alert" },
    el("p", { class: "strong" }, error.title ?? "This could not be read"),
    el("p", {}, data(error.message)),
    error.violations?.length > 0 && el("ul", {}, error.violations.map((one) => el("li", {}, data(`${one.field}: ${one.description}`)))),
    error.code && el("p", { class: "quiet" }, [error.code, error.reason].filter(Boolean).join(" · ")),
    retry && el("button", { type: "button", onclick: retry }, "Try again"));
}

export function loading(what) {
  return el("div", { class: "loading", "aria-busy": "true" }, el("span", { class: "spinner", "aria-hidden": "true" }), ` Reading ${what} …`);
}

// A button that copies an identifier.
export function copy(text) {
  const button = el("button", { type: "button", class: "link copy", "aria-label": "Copy", title: "Copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied");
      button.textContent = "Copied";
    } catch {
      announce("The browser does not allow copying");
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

// For screen readers.
export function announce(text) {
  document.getElementById("status").textContent = text;
}

// Waits until the page is looked at: one that is not makes no requests, so that its session can end.
export function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
