// The figures of the project, read again every few seconds.

import { announce, card, el, empty, failure, loading, replace, visible } from "./dom.js";
import { get } from "./api.js";
import { line, share } from "./charts.js";
import { count } from "./format.js";

const PERIOD = 2000;
// Points of a line: two minutes.
const POINTS = 60;

function tile(title, value, note, ...more) {
  return el("div", { class: "tile" }, el("h3", {}, title), el("p", { class: "figure" }, value), note && el("p", { class: "quiet" }, note), ...more);
}

// Rates between two readings, from what counts up.
class Rates {
  constructor() {
    this.values = [];
    this.last = undefined;
  }

  add(total) {
    const now = performance.now();
    if (this.last !== undefined) {
      const seconds = Math.max(0.1, (now - this.last.now) / 1000);
      this.values.push(Math.max(0, (total - this.last.total) / seconds));
      if (this.values.length > POINTS) this.values.shift();
    }
    this.last = { now, total };
  }

  get now() {
    return this.values.at(-1) ?? 0;
  }
}

function rate(value) {
  return value < 10 ? value.toFixed(value === 0 ? 0 : 1) : count(Math.round(value));
}

function items(statistics) {
  const received = Number(statistics.received ?? 0);
  const parts = [
    ["stored", Number(statistics.stored ?? 0), "stored"],
    ["duplicate", Number(statistics.duplicate ?? 0), "duplicate"],
    ["stale", Number(statistics.stale ?? 0), "stale"],
    ["rejected", Number(statistics.rejected ?? 0), "rejected"],
  ];
  const text = parts.map(([name, value]) => `${count(value)} ${name}`).join(", ");
  return card("Items received", { class: "wide" },
    el("p", { class: "quiet" }, `${count(received)} events, attribute writes and subscription changes since the server started`),
    share(parts, text),
    el("ul", { class: "legend" }, parts.map(([name, value, className]) =>
      el("li", {}, el("span", { class: `dot ${className}`, "aria-hidden": "true" }), ` ${name} `, el("strong", {}, count(value))))));
}

export function overview(main) {
  let stopped = false;
  let timer;
  let counted = false;
  let counts;
  const controller = new AbortController();
  const [stored, operations] = [new Rates(), new Rates()];
  const body = el("div", {}, loading("the project"));
  main.append(el("h1", {}, "Overview"), body);

  function show(read) {
    const statistics = read.statistics;
    counts = read.counts ?? counts;
    const profiles = Number((statistics ?? counts)?.profiles ?? 0);
    const identified = Number((statistics ?? counts)?.identified ?? 0);
    const lag = Math.max(0, Number(read.applied_lsn ?? 0) - Number(read.feed_lsn ?? 0));
    if (statistics) stored.add(Number(statistics.stored ?? 0));
    operations.add(Number(read.applied_lsn ?? 0));
    const shown = statistics ? stored : operations;
    const label = statistics ? "Items stored a second" : "Operations of the server a second";
    replace(body,
      el("div", { class: "tiles" },
        tile("Profiles", count(profiles), `${count(identified)} identified, ${count(profiles - identified)} anonymous`,
          share([["identified", identified, "stored"], ["anonymous", profiles - identified, "stale"]],
            `${count(identified)} of ${count(profiles)} profiles are identified`)),
        statistics && tile("Events", count(statistics.events), "kept on profiles"),
        tile(label, rate(shown.now), `over the last ${PERIOD / 1000} s`,
          line(shown.values, `${label}, the last two minutes; now ${rate(shown.now)}`)),
        tile("Change feed lag", lag === 0 ? "none" : count(lag), lag === 0 ? "every change can be watched" : "operations behind the log"),
        tile("Server", read.ready ? "Ready" : "Not ready", read.ready ? "reads and writes are served" : read.phase),
        statistics && tile("Triggers", count(statistics.triggers), `${count(statistics.pending_firings)} firings wait`),
      ),
      statistics && items(statistics),
      !statistics && el("p", { class: "quiet" }, "A key with the scope ADMIN also sees events, items and triggers."),
      profiles === 0 && empty("No profiles yet", "They appear with the first Identify or Track of this project."));
  }

  async function read() {
    try {
      await visible(controller.signal);
      show(await get("overview", { counts: counted ? undefined : "1" }, controller.signal));
      if (!counted) announce("Overview is shown");
      counted = true;
    } catch (error) {
      if (stopped || error.name === "AbortError") return;
      replace(body, failure(error, error.status === 403 ? undefined : read));
      if (error.status !== 0 && error.status !== 503) return;
    }
    if (!stopped) timer = setTimeout(read, PERIOD);
  }

  read();
  return () => {
    stopped = true;
    clearTimeout(timer);
    controller.abort();
  };
}
