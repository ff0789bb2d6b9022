// A person's events, the newest first; new ones appear as they are stored.

import { announce, badge, data, el, empty, failure, loading, replace, visible } from "./dom.js";
import { get } from "./api.js";
import { exact, identifier, source, value, when, word } from "./format.js";

// Pauses before the next attempt when following fails, in milliseconds.
const RETRY_FIRST = 1000;
const RETRY_MAX = 30000;

function eventNode(event, isNew) {
  const who = identifier(event.identifier);
  const attributes = Object.entries(event.attributes ?? {});
  return el("li", { class: `event ${isNew ? "new" : ""}` },
    el("div", { class: "event-head" },
      el("strong", {}, data(event.name)),
      event.label && badge(data(event.label)),
      (event.tags ?? []).map((tag) => badge(data(tag), "tag")),
      event.historical && badge("historical"),
      el("span", { class: "event-time" }, when(event.effective_time))),
    attributes.length > 0 && el("dl", { class: "attributes" }, attributes.map(([name, of]) =>
      el("div", {}, el("dt", {}, data(name)), el("dd", {}, value(of).node)))),
    el("p", { class: "quiet" },
      [exact(event.effective_time), source(event.source)].filter(Boolean).join(" · "),
      who && [" · ", who.kind, " ", data(who.text)]));
}

function changeText(change) {
  switch (change.kind) {
    case "CHANGE_KIND_ATTRIBUTES_CHANGED": {
      const names = [...Object.keys(change.attributes?.set ?? {}), ...Object.keys(change.attributes?.native ?? {}), ...(change.attributes?.deleted ?? [])];
      return `Attributes changed: ${names.join(", ")}`;
    }
    case "CHANGE_KIND_SUBSCRIPTION_CHANGED":
      return (change.consent_entries ?? []).map((entry) =>
        `Subscription changed: ${word(entry.channel, "CHANNEL_")}${entry.topic ? `/${entry.topic}` : ""} is ${word(entry.after, "SUBSCRIPTION_STATE_")}`).join("; ");
    default: return word(change.kind, "CHANGE_KIND_");
  }
}

// - `onChange` is called when anything of the person has changed.
export function timeline(profileID, lsn, onChange) {
  const controller = new AbortController();
  const state = el("span", { class: "live", title: "New events appear as they are stored" }, "Connecting");
  const events = el("ol", { class: "timeline" });
  const rest = el("div", {}, loading("events"));
  const filter = el("span", {});
  const node = el("section", { class: "card wide-part", "aria-labelledby": "part-events" },
    el("header", {}, el("h2", { id: "part-events", tabindex: "-1" }, "Events"), filter, state),
    el("div", { class: "events", tabindex: "0", role: "region", "aria-label": "Events, the newest first" }, events, rest));
  // Those that came by both ways are shown once.
  const shown = new Set();
  let name = "";
  let run = 0;
  const key = (event) => JSON.stringify([event.identifier, event.event_id]);

  function setState(text, className) {
    state.textContent = text;
    state.className = `live ${className}`;
  }

  async function page(token) {
    const mine = run;
    try {
      const read = await get("events", { profile_id: profileID, name, page_token: token }, controller.signal);
      if (mine !== run) return;
      const listed = (read.events ?? []).filter((event) => !shown.has(key(event)));
      listed.forEach((event) => shown.add(key(event)));
      events.append(...listed.map((event) => eventNode(event, false)));
      const end = read.truncated ? "Older events are no longer kept." : "";
      if (read.next_page_token) {
        const more = el("button", { type: "button", class: "more" }, "Show older events");
        more.addEventListener("click", () => { more.disabled = true; page(read.next_page_token); });
        replace(rest, more);
      } else if (shown.size === 0) {
        replace(rest, empty(name ? "No such events" : "No events yet", end || "They appear here as soon as they are stored."));
      } else {
        replace(rest, el("p", { class: "quiet end" }, end || "That is everything."));
      }
    } catch (error) {
      if (error.name !== "AbortError" && mine === run) replace(rest, failure(error, () => page(token)));
    }
  }

  function show(only) {
    run += 1;
    name = only;
    shown.clear();
    replace(events);
    replace(rest, loading("events"));
    replace(filter, only ? el("button", { type: "button", class: "chip", onclick: () => show("") }, "only ", data(only), " ×") : "");
    page();
  }

  function take(changes) {
    const names = [];
    for (const { change } of changes) {
      const event = change.event;
      if (change.kind !== "CHANGE_KIND_EVENT_STORED" || !event) {
        names.push(changeText(change));
      } else if ((!name || event.name === name) && !shown.has(key(event))) {
        shown.add(key(event));
        events.prepend(eventNode(event, true));
        rest.querySelector(".empty")?.remove();
        names.push(`New event: ${event.name}`);
      }
    }
    if (names.length > 0) announce(names.slice(0, 3).join(". "));
    onChange(changes.map((one) => one.change));
  }

  // Each request waits for the next change, and the one after it begins where it ended.
  async function follow() {
    let position = { from: String(BigInt(lsn) + 1n), skip: "0" };
    let pause = RETRY_FIRST;
    while (!controller.signal.aborted) {
      try {
        await visible(controller.signal);
        setState("Live", "on");
        const read = await get("changes", { profile_id: profileID, ...position }, controller.signal);
        position = { from: read.from, skip: read.skip };
        pause = RETRY_FIRST;
        if ((read.changes ?? []).length > 0) take(read.changes);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.reason === "POSITION_GONE") {
          // Too much has happened since: read everything again, and follow from now on.
          onChange([]);
          show(name);
          position = { from: "0", skip: "0" };
          continue;
        }
        setState("Not live", "off");
        if (error.status === 401 || error.status === 403 || error.status === 404) return;
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, RETRY_MAX);
      }
    }
  }

  show("");
  follow();
  return { node, only: (text) => { show(text); node.querySelector("h2").focus(); }, stop: () => controller.abort() };
}
