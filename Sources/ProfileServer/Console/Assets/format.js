// Words for what the contract names.

import { data, el } from "./dom.js";

const RELATIVE = [[60, "s"], [3600, "min"], [86400, "h"], [86400 * 60, "d"], [86400 * 730, "months"]];

export function count(value) {
  return Number(value ?? 0).toLocaleString("en");
}

// "3 min ago", from a time of proto3 JSON.
export function ago(text) {
  const seconds = (Date.now() - Date.parse(text)) / 1000;
  if (Number.isNaN(seconds)) return text;
  const [size, future] = [Math.abs(seconds), seconds < -1];
  let words = `${Math.floor(size / 31557600)} years`;
  for (const [limit, unit] of RELATIVE) {
    if (size >= limit) continue;
    const per = { s: 1, min: 60, h: 3600, d: 86400, months: 2629800 }[unit];
    words = `${Math.max(1, Math.floor(size / per))} ${unit}`;
    if (unit === "s" && size < 5) return "just now";
    break;
  }
  return future ? `in ${words}` : `${words} ago`;
}

export function exact(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return text;
  return time.toISOString().replace("T", " ").replace(/\.\d+Z$/, "") + " UTC";
}

export function when(text) {
  if (!text) return el("span", { class: "quiet" }, "never");
  return el("time", { datetime: text, title: exact(text) }, ago(text));
}

// "APP_IOS" of "PLATFORM_APP_IOS" as people say it.
export function word(value, prefix) {
  if (!value) return "";
  const text = value.startsWith(prefix) ? value.slice(prefix.length) : value;
  return text.toLowerCase().replaceAll("_", " ");
}

export const CHANNELS = { CHANNEL_EMAIL: "E-mail", CHANNEL_SMS: "SMS", CHANNEL_PUSH: "Push" };
const PLATFORMS = {
  PLATFORM_APP_IOS: "iOS app", PLATFORM_APP_ANDROID: "Android app", PLATFORM_WEB: "Website",
  PLATFORM_API: "API", PLATFORM_IMPORT: "Import",
};
const REASONS = {
  SENDABLE_REASON_OK: "may be sent",
  SENDABLE_REASON_NO_ADDRESS: "no address",
  SENDABLE_REASON_HARD_BOUNCE: "address has bounced",
  SENDABLE_REASON_INVALID: "address is invalid",
  SENDABLE_REASON_MANUAL: "address was suppressed by hand",
  SENDABLE_REASON_COMPLAINT: "person has complained",
  SENDABLE_REASON_CHANNEL_NOT_SUBSCRIBED: "channel is not subscribed",
  SENDABLE_REASON_TOPIC_UNSUBSCRIBED: "topic is unsubscribed",
  SENDABLE_REASON_TOPIC_DEFAULT: "topic needs a subscription",
};

export function platform(value) {
  return PLATFORMS[value] ?? "";
}

export function reason(value) {
  return REASONS[value] ?? word(value, "SENDABLE_REASON_");
}

export function source(value) {
  if (!value) return "";
  return [platform(value.platform), value.name].filter(Boolean).join(" · ");
}

export function identifier(value) {
  if (!value) return undefined;
  if (value.custom_id !== undefined) return { kind: "custom ID", text: value.custom_id };
  if (value.installation_id !== undefined) return { kind: "installation", text: value.installation_id };
  if (value.profile_id !== undefined) return { kind: "profile", text: value.profile_id };
  return undefined;
}

// A profiles.v1.Value: its kind, and a node that shows it.
export function value(of) {
  const [kind, content] = Object.entries(of ?? {})[0] ?? ["", ""];
  switch (kind) {
    case "list": return { kind, node: list(content.items ?? []) };
    case "object": return { kind, node: object(content) };
    case "objects": return { kind, node: el("ol", { class: "objects" }, (content.items ?? []).map((item) => el("li", {}, object(item)))) };
    case "time": return { kind, node: el("span", {}, data(exact(content)), " ", el("span", { class: "quiet" }, ago(content))) };
    case "boolean": return { kind, node: data(content ? "true" : "false") };
    default: return { kind, node: data(content) };
  }
}

function list(items) {
  if (items.length === 0) return el("span", { class: "quiet" }, "empty list");
  return el("ul", { class: "chips" }, items.map((item) => el("li", {}, data(item))));
}

function object(content) {
  return el("dl", { class: "object" }, Object.entries(content.fields ?? {}).map(([name, field]) =>
    el("div", {}, el("dt", {}, data(name)), el("dd", {}, value(field).node))));
}
