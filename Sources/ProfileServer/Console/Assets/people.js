// Finding people: by an identifier, or by a filter with its count and list.

import { announce, badge, data, el, empty, failure, loading, replace, table } from "./dom.js";
import { get } from "./api.js";
import { count, when, word } from "./format.js";

const EXAMPLES = [
  "state = IDENTIFIED",
  'last_seen_at > "-7d"',
  "events.purchase.count > 1",
  "subscriptions.EMAIL = SUBSCRIBED AND email_address:*",
  "NOT subscriptions.EMAIL = SUBSCRIBED",
];
// The filter is kept while the page is open, and in no URL: it may name a person.
let kept = "";

function total(profile) {
  return (profile.event_counters ?? []).reduce((sum, counter) => sum + Number(counter.count ?? 0), 0);
}

function row(profile) {
  const name = profile.custom_id ?? "Anonymous";
  return el("tr", {},
    el("th", { scope: "row" }, el("a", { href: `#/person/${encodeURIComponent(profile.profile_id)}` }, data(name))),
    el("td", {}, badge(word(profile.state, "STATE_"), profile.state === "STATE_IDENTIFIED" ? "good" : "")),
    el("td", {}, profile.native?.email_address !== undefined ? data(profile.native.email_address) : el("span", { class: "quiet" }, "–")),
    el("td", { class: "number" }, count(total(profile))),
    el("td", {}, when(profile.last_seen_at)));
}

function listed(profiles) {
  return table("People", ["Person", "State", "E-mail", "Events", "Last seen"], profiles.map(row));
}

// The column that an error of a filter names, from 1 on.
function column(error) {
  const found = error.violations?.map((one) => /^column (\d+)/.exec(one.description)).find(Boolean);
  return found ? Number(found[1]) : undefined;
}

// Shows where in the filter the error is.
function filterFailure(error, filter, input) {
  const at = column(error);
  if (at === undefined) return failure(error);
  const characters = Array.from(filter);
  const offset = characters.slice(0, at - 1).join("").length;
  input.focus();
  input.setSelectionRange(offset, Math.min(filter.length, offset + 1));
  const [before, found, after] = [characters.slice(0, at - 1).join(""), characters[at - 1] ?? " ", characters.slice(at).join("")];
  return el("div", { class: "failure", role: "alert" },
    el("p", { class: "strong" }, "The filter has an error"),
    el("pre", { class: "caret" }, before, el("mark", {}, found), after),
    error.violations.map((one) => el("p", {}, data(one.description))));
}

export function people(main) {
  const controller = new AbortController();
  const input = el("textarea", { id: "filter", rows: "2", maxlength: "2000", spellcheck: "false", autocapitalize: "off", "aria-describedby": "filter-help", value: kept });
  const results = el("div", { "aria-live": "off" });
  const button = el("button", { type: "submit" }, "Show people");
  const form = el("form", { class: "filter" },
    el("label", { for: "filter" }, "Filter"), input,
    el("p", { class: "quiet", id: "filter-help" }, "Empty means everybody. Ctrl+Enter runs it."),
    el("div", { class: "examples", role: "group", "aria-label": "Examples" }, EXAMPLES.map((example) =>
      el("button", { type: "button", class: "chip", onclick: () => { input.value = example; run(); } }, example))),
    button);
  form.addEventListener("submit", (event) => { event.preventDefault(); run(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });
  main.append(el("h1", {}, "People"), form, results);

  // The number of the run that is shown: responses of earlier ones are dropped.
  let current = 0;

  async function run() {
    const mine = (current += 1);
    const filter = input.value.trim();
    kept = filter;
    button.disabled = true;
    replace(results, loading("people"));
    const counting = get("count", { filter }, controller.signal).catch((error) => error);
    try {
      const page = await get("list", { filter }, controller.signal);
      if (mine !== current) return;
      show(page, filter, counting, mine);
    } catch (error) {
      if (mine !== current || error.name === "AbortError") return;
      replace(results, filterFailure(error, filter, input));
    } finally {
      if (mine === current) button.disabled = false;
    }
  }

  async function show(page, filter, counting, mine) {
    const heading = el("p", { class: "count", role: "status" }, "Counting …");
    const profiles = page.profiles ?? [];
    const list = el("div", {}, profiles.length > 0 ? listed(profiles) : empty("Nobody matches", filter && "Try a wider filter."));
    replace(results, heading, list);
    if (page.next_page_token) list.append(more(page.next_page_token, filter, list.querySelector("tbody"), mine));
    const counted = await counting;
    if (mine !== current) return;
    heading.textContent = counted instanceof Error
      ? `The count could not be made: ${counted.message}`
      : `${count(counted.count)} ${Number(counted.count ?? 0) === 1 ? "person" : "people"}`;
  }

  function more(token, filter, rows, mine) {
    const next = el("button", { type: "button", class: "more" }, "Show more");
    next.addEventListener("click", async () => {
      next.disabled = true;
      try {
        const page = await get("list", { filter, page_token: token }, controller.signal);
        if (mine !== current) return;
        const added = (page.profiles ?? []).map(row);
        rows.append(...added);
        added[0]?.querySelector("a")?.focus();
        announce(`${added.length} more people are shown`);
        if (page.next_page_token) next.replaceWith(more(page.next_page_token, filter, rows, mine));
        else next.remove();
      } catch (error) {
        if (error.name !== "AbortError") next.replaceWith(failure(error));
      }
    });
    return next;
  }

  run();
  return () => controller.abort();
}

// Shows whom an identifier names: one person at once, several as a list.
export function found(main, kind, value) {
  const controller = new AbortController();
  const body = el("div", {}, loading("the person"));
  main.append(el("h1", {}, "Search"), body);
  get("find", { kind, value }, controller.signal).then((read) => {
    const profiles = read.profiles ?? [];
    if (profiles.length === 1) {
      location.replace(`#/person/${encodeURIComponent(profiles[0].profile_id)}`);
    } else if (profiles.length === 0) {
      replace(body,
        el("div", { class: "empty" }, el("p", { class: "strong" }, "Nobody is called so"),
          el("p", {}, `No person of this project has the ${word(kind, "").replace(" id", " ID")} `, data(value), ".")));
      announce("Nobody was found");
    } else {
      replace(body, el("p", { class: "count", role: "status" }, `${profiles.length} people share this address`), listed(profiles));
    }
  }).catch((error) => {
    if (error.name !== "AbortError") replace(body, failure(error));
  });
  return () => controller.abort();
}

