// Everything of one person.

import { announce, badge, card, copy, data, el, empty, failure, loading, replace, table } from "./dom.js";
import { get } from "./api.js";
import { perDay } from "./charts.js";
import { timeline } from "./timeline.js";
import { CHANNELS, count, exact, identifier, platform, reason, source, value, when, word } from "./format.js";

// Days that the chart of a counter shows.
const DAYS = 30;
// After a change the person is read again at most this often, in milliseconds.
const RELOAD_PAUSE = 500;

const NATIVE = { email_address: "E-mail address", phone_number: "Phone number", language: "Language", region: "Region", timezone: "Time zone" };

function fact(name, ...content) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...content));
}

function identity(profile) {
  const aliases = (profile.aliases ?? []).map(identifier).filter(Boolean);
  const installations = profile.installations ?? [];
  return card("Identity", {},
    el("dl", { class: "facts" },
      fact("Custom ID", profile.custom_id !== undefined ? [data(profile.custom_id), " ", copy(profile.custom_id)] : el("span", { class: "quiet" }, "none: this person is anonymous")),
      fact("Profile id", data(profile.profile_id, "code"), " ", copy(profile.profile_id)),
      aliases.length > 0 && fact("Also known as", el("ul", { class: "plain" }, aliases.map((alias) => el("li", {}, el("span", { class: "quiet" }, `${alias.kind} `), data(alias.text, "code"))))),
      fact("Created", when(profile.created_at)), fact("Updated", when(profile.updated_at)), fact("Last seen", when(profile.last_seen_at)),
      fact("Revision", count(profile.revision))),
    el("h3", {}, "Installations"),
    installations.length === 0 ? empty("No installations", "No app or website has identified this person.") :
      table("Installations", ["Installation", "Platform", "Attached", "Last seen"], installations.map((one) => el("tr", {},
        el("th", { scope: "row" }, data(one.installation_id, "code")), el("td", {}, platform(one.platform) || el("span", { class: "quiet" }, "unknown")),
        el("td", {}, when(one.attached_at)), el("td", {}, when(one.last_seen_at))))));
}

function attributeRow(name, label, node, kind, metadata) {
  return el("tr", {},
    el("th", { scope: "row" }, label ?? data(name, "code")), el("td", { class: "value" }, node), el("td", {}, el("span", { class: "quiet" }, kind)),
    el("td", {}, when(metadata?.effective_time)), el("td", {}, source(metadata?.source) || el("span", { class: "quiet" }, "–")));
}

function attributes(profile) {
  const metadata = profile.attribute_metadata ?? {};
  const rows = [
    ...Object.entries(profile.native ?? {}).map(([name, text]) => attributeRow(name, NATIVE[name], data(text), "native", metadata[name])),
    ...Object.entries(profile.attributes ?? {}).map(([name, of]) => {
      const shown = value(of);
      return attributeRow(name, undefined, shown.node, shown.kind, metadata[name]);
    }),
  ];
  return card("Attributes", {}, rows.length === 0 ? empty("No attributes") : table("Attributes", ["Name", "Value", "Type", "Set", "Source"], rows));
}

function verdict(of) {
  if (!of) return el("span", { class: "quiet" }, "–");
  return el("span", { class: `verdict ${of.sendable ? "yes" : "no"}` },
    el("span", { "aria-hidden": "true" }, of.sendable ? "✓ " : "✕ "), of.sendable ? "Yes" : "No",
    !of.sendable && [": ", reason(of.reason)]);
}

function subscriptions(profile, verdicts) {
  const items = profile.subscriptions?.items ?? [];
  const find = (channel, topic, messageClass) => verdicts.find((one) =>
    one.channel === channel && (one.topic ?? "") === topic && one.message_class === messageClass);
  const rows = Object.keys(CHANNELS).flatMap((channel) => {
    const topics = items.filter((item) => item.channel === channel && item.topic);
    return [items.find((item) => item.channel === channel && !item.topic) ?? { channel }, ...topics];
  }).map((item) => el("tr", { class: item.topic ? "topic" : "" },
    el("th", { scope: "row" }, item.topic ? data(item.topic, "code") : CHANNELS[item.channel]),
    el("td", {}, subscriptionState(item.state)),
    el("td", {}, item.effective_time ? when(item.effective_time) : el("span", { class: "quiet" }, "–")),
    el("td", {}, word(item.source, "CONSENT_SOURCE_") || el("span", { class: "quiet" }, "–")),
    el("td", {}, verdict(find(item.channel, item.topic ?? "", "MESSAGE_CLASS_MARKETING"))),
    el("td", {}, item.topic ? "" : verdict(find(item.channel, "", "MESSAGE_CLASS_TRANSACTIONAL")))));
  return card("Subscriptions", { class: "wide" },
    table("Subscriptions", ["Channel or topic", "State", "Since", "Source", "Marketing may be sent", "Transactional may be sent"], rows));
}

function subscriptionState(state) {
  const kind = { SUBSCRIPTION_STATE_SUBSCRIBED: "good", SUBSCRIPTION_STATE_UNSUBSCRIBED: "bad", SUBSCRIPTION_STATE_PENDING: "warn" }[state];
  return badge(word(state ?? "SUBSCRIPTION_STATE_UNSET", "SUBSCRIPTION_STATE_"), kind);
}

function counters(profile, activity, only) {
  const sorted = [...(profile.event_counters ?? [])].sort((a, b) => Number(b.count) - Number(a.count));
  if (sorted.length === 0) return card("Counters", {}, empty("No events were counted"));
  return card("Counters", {}, table("Counters", ["Event", "Count", `Last ${DAYS} days`, "First", "Last"], sorted.map((counter) => {
    const times = activity?.times?.[counter.name] ?? [];
    return el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: "Show only these events", onclick: () => only(counter.name) }, data(counter.name))),
      el("td", { class: "number" }, count(counter.count)),
      el("td", {}, activity ? perDay(times, DAYS, `${counter.name} by day, the last ${DAYS} days`) : ""),
      el("td", {}, when(counter.first)), el("td", {}, when(counter.last)));
  })));
}

function ledger(profileID, verified, signal) {
  const body = el("div", {}, loading("the ledger"));
  const aside = verified.valid
    ? badge(`chain valid, ${count(verified.entries)} ${Number(verified.entries ?? 0) === 1 ? "entry" : "entries"}`, "good")
    : badge("chain is broken", "bad");
  const rows = el("tbody", {});
  async function page(token) {
    try {
      const read = await get("ledger", { profile_id: profileID, page_token: token }, signal);
      rows.append(...(read.entries ?? []).map(entry));
      if (rows.childElementCount === 0) return replace(body, empty("No entries", "Nothing was agreed to or declined yet."));
      replace(body, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Consent ledger" },
        el("table", {}, el("thead", {}, el("tr", {}, ["Time", "Channel", "Change", "Source", "Evidence", "Hash"].map((text) => el("th", { scope: "col" }, text)))), rows)));
      if (read.next_page_token) body.append(el("button", { type: "button", class: "more", onclick: () => page(read.next_page_token) }, "Show later entries"));
    } catch (error) {
      if (error.name !== "AbortError") replace(body, failure(error, () => page(token)));
    }
  }
  page();
  return card("Consent ledger", { class: "wide", aside }, body);
}

function entry(of) {
  const evidence = Object.entries(of.evidence ?? {}).filter(([, text]) => text);
  return el("tr", { class: of.applied ? "" : "refused" },
    el("td", {}, el("time", { datetime: of.effective_time }, exact(of.effective_time))),
    el("td", {}, CHANNELS[of.channel] ?? word(of.channel, "CHANNEL_"), of.topic && [" / ", data(of.topic, "code")]),
    el("td", {}, word(of.before, "SUBSCRIPTION_STATE_"), " → ", word(of.after, "SUBSCRIPTION_STATE_"), !of.applied && [" ", badge("not applied", "warn")]),
    el("td", {}, word(of.source, "CONSENT_SOURCE_")),
    el("td", {}, evidence.length === 0 ? el("span", { class: "quiet" }, "–") :
      el("ul", { class: "plain" }, evidence.map(([name, text]) => el("li", {}, el("span", { class: "quiet" }, `${word(name, "")} `), data(text))))),
    el("td", {}, data((of.hash ?? "").slice(0, 12), "code")));
}

function list(names, none) {
  return names.length === 0 ? none : names.map((name, index) => [index > 0 && ", ", data(name, "code")]);
}

function merges(read) {
  const items = read.merges ?? [];
  if (items.length === 0) return card("Merges", { class: "wide" }, empty("No merge that can be undone", "Merges can be undone for 30 days."));
  return card("Merges", { class: "wide" }, el("ul", { class: "merges" }, items.map((merge) => el("li", {},
    el("p", {}, el("strong", {}, merge.custom_id !== undefined ? data(merge.custom_id) : "An anonymous profile"), " was merged into this person ", when(merge.merged_at),
      ". It can be undone for another ", el("strong", {}, when(merge.undoable_until).textContent.replace(/^in /, "")), "."),
    el("details", {}, el("summary", {}, "What un-merging would do"),
      el("ul", {},
        el("li", {}, "The profile ", data(merge.profile_id, "code"), merge.custom_id !== undefined ? [" with the custom ID ", data(merge.custom_id, "code")] : "", " exists again, and is no alias of this one."),
        el("li", {}, `${count(merge.events)} ${Number(merge.events) === 1 ? "event goes" : "events go"} back to it, and all that came since through its own identifiers.`),
        el("li", {}, "Installations that go back, unless they were attached elsewhere since: ", list(merge.installations ?? [], "none"), "."),
        el("li", {}, "Attributes that it gets back as they were: ", list(merge.attributes ?? [], "none"), "."),
        el("li", {}, "Consent never becomes weaker: an opt-out that came since holds on both.")),
      el("p", {}, "To undo it: ", data(`profilectl unmerge ${merge.merge_id}`, "code"), " ", copy(`profilectl unmerge ${merge.merge_id}`)))))));
}

function focusable(node) {
  return [...node.querySelectorAll("a, button, summary, [tabindex]")];
}

export function person(main, profileID) {
  const controller = new AbortController();
  const top = el("div", {}, loading("the person"));
  const [left, right, below] = [el("div", { class: "column" }), el("div", { class: "column" }), el("div", {})];
  main.append(top, el("div", { class: "columns" }, left, right), below);
  // What is shown of each part, by its name.
  const parts = new Map();
  let live;
  let reload;
  let reading = false;

  async function read() {
    if (reading) return schedule();
    reading = true;
    try {
      const [whole, activity, merged] = await Promise.all(
        ["profile", "activity", "merges"].map((query) => get(query, { profile_id: profileID }, controller.signal)));
      show(whole, activity, merged);
    } catch (error) {
      if (error.name === "AbortError") return;
      live?.stop();
      live = undefined;
      for (const part of [left, right, below]) replace(part);
      parts.clear();
      const gone = error.status === 404;
      replace(top, el("h1", {}, "Person"), gone ? empty("There is no such person", "The profile does not exist, or was erased.") : failure(error, read));
    } finally {
      reading = false;
    }
  }

  function schedule() {
    clearTimeout(reload);
    reload = setTimeout(read, RELOAD_PAUSE);
  }

  // Makes a part anew only if what it shows has changed, so that nothing moves below a reader.
  function update(place, name, state, make) {
    const text = JSON.stringify(state);
    const old = parts.get(name);
    if (old?.text === text) return;
    const node = make();
    const index = old ? focusable(old.node).indexOf(document.activeElement) : -1;
    if (old) old.node.replaceWith(node);
    else place.append(node);
    if (index >= 0) focusable(node)[index]?.focus({ preventScroll: true });
    parts.set(name, { text, node });
  }

  function show(whole, activity, merged) {
    const profile = whole.profile;
    const isIdentified = profile.state === "STATE_IDENTIFIED";
    document.title = `${profile.custom_id ?? "Anonymous"} · Profiles`;
    replace(top, el("div", { class: "title" },
      el("span", { class: "avatar", "aria-hidden": "true" }, isIdentified ? Array.from(profile.custom_id)[0].toUpperCase() : "?"),
      el("div", {}, el("h1", {}, isIdentified ? data(profile.custom_id) : "Anonymous person"),
        el("p", { class: "quiet" }, badge(word(profile.state, "STATE_"), isIdentified ? "good" : ""), " last seen ", when(profile.last_seen_at))),
      whole.redirected_from && el("p", { class: "note" }, "The profile ", data(whole.redirected_from, "code"), " was merged into this one.")));
    if (!live) {
      live = timeline(profile.profile_id, whole.lsn ?? "0", schedule);
      replace(right, live.node);
      announce("The person is shown");
    }
    const { custom_id, aliases, installations, created_at, updated_at, last_seen_at, revision } = profile;
    update(left, "identity", [custom_id, aliases, installations, created_at, updated_at, last_seen_at, revision], () => identity(profile));
    update(left, "attributes", [profile.native, profile.attributes, profile.attribute_metadata], () => attributes(profile));
    update(left, "counters", [profile.event_counters, activity], () => counters(profile, activity, live.only));
    update(below, "subscriptions", [profile.subscriptions, whole.verdicts], () => subscriptions(profile, whole.verdicts ?? []));
    update(below, "ledger", whole.ledger, () => ledger(profile.profile_id, whole.ledger ?? {}, controller.signal));
    update(below, "merges", merged, () => merges(merged));
  }

  read();
  return () => {
    clearTimeout(reload);
    live?.stop();
    controller.abort();
  };
}
