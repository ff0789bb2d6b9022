// Small charts, drawn as SVG. Each has a text for those who do not see it.

import { svg } from "./dom.js";

const DAY = 86400000;

// Bars of equal width; `label` says what they show.
export function bars(values, label, { width = 120, height = 28 } = {}) {
  const largest = Math.max(1, ...values);
  const step = width / values.length;
  return svg("svg", { class: "chart bars", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    values.map((value, index) => {
      const size = value === 0 ? 1 : Math.max(2, (value / largest) * height);
      return svg("rect", {
        class: value === 0 ? "none" : "some", x: (index * step).toFixed(2), y: (height - size).toFixed(2),
        width: Math.max(1, step - 1).toFixed(2), height: size.toFixed(2), rx: 1,
      });
    }));
}

// Events by day, the last `days` of them; the last bar is today.
export function perDay(times, days, label) {
  const values = new Array(days).fill(0);
  const today = Math.floor(Date.now() / DAY);
  for (const time of times) {
    const index = days - 1 - (today - Math.floor(Date.parse(time) / DAY));
    if (index >= 0 && index < days) values[index] += 1;
  }
  return bars(values, label);
}

// A line over the last values, with the area below it.
export function line(values, label, { width = 260, height = 56 } = {}) {
  const largest = Math.max(1, ...values);
  const points = values.map((value, index) => [
    values.length < 2 ? width : (index / (values.length - 1)) * width, height - 2 - (value / largest) * (height - 6),
  ]);
  const path = points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return svg("svg", { class: "chart line", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    points.length > 1 && svg("path", { class: "area", d: `${path}L${width} ${height}L0 ${height}Z` }),
    points.length > 1 && svg("path", { class: "stroke", d: path }));
}

// One bar of parts that add up; `parts` are [name, value, class].
export function share(parts, label) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0);
  let x = 0;
  return svg("svg", { class: "chart share", viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "none", x: 0, y: 0, width: 100, height: 6 }),
    total > 0 && parts.map(([, value, className]) => {
      const width = (value / total) * 100;
      const part = svg("rect", { class: className, x: x.toFixed(3), y: 0, width: width.toFixed(3), height: 6 });
      x += width;
      return part;
    }));
}
