"""A picture of results: groups of bars for each load, requests a second above and CPU a request below.

The background is transparent, bars have contrast on light and on dark, and texts follow the reader's scheme.
"""

import math
from xml.sax.saxutils import escape

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP, LEGEND_HEIGHT = 960, 230, 70, 20, 40, 70, 50
COLOURS = {
    "floor": "#8a8f98",
    "nghttpd": "#b08a3e",
    "grpc": "#c2574b",
    "redis": "#d0703c",
    "track": "#2f7fd6",
    "get": "#2a9d8f",
    "stream": "#7a5cc7",
    "batch": "#b05fb8",
}
STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 11px; }
  .title { font-size: 15px; font-weight: 600; }
  line { stroke: #8a8f98; stroke-opacity: 0.35; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }
</style>"""


def short(value):
    """A number for an axis: 300k, 2.5, 1M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def linear_ticks(maximum):
    """Ticks from 0 to at least the maximum, at steps of 1, 2 or 5 times a power of ten, at most seven."""
    if maximum <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(maximum))
    for part in (0.2, 0.5, 1, 2, 5):
        count = math.ceil(maximum / (step * part) - 1e-9)
        if count <= 6:
            return [index * step * part for index in range(count + 1)]
    raise AssertionError("ten times a power of ten has at most six steps of five")


def logarithmic_ticks(minimum, maximum):
    """1, 2 and 5 times powers of ten, from less than the minimum, so that it has a bar, to at least the maximum."""
    ticks, power = [], math.floor(math.log10(minimum)) - 1
    while not ticks or ticks[-1] < maximum:
        ticks += [factor * 10.0**power for factor in (1, 2, 5)]
        power += 1
    first = max(index for index, tick in enumerate(ticks) if tick <= 0.7 * minimum)
    last = min(index for index, tick in enumerate(ticks) if tick >= maximum)
    return ticks[first : max(last, first + 1) + 1]


def panel(top, title, names, rows, figure, is_logarithmic):
    """Lines of SVG; `figure` is the index of what is shown. A value that is 0 has no bar where none can be drawn."""
    values = [row[server][figure] for row in rows.values() for server in row if row[server][figure] > 0] or [1]
    ticks = logarithmic_ticks(min(values), max(values)) if is_logarithmic else linear_ticks(max(values))
    transform = math.log10 if is_logarithmic else float

    def height(value):
        low, high = transform(ticks[0]), transform(ticks[-1])
        return (transform(value) - low) / (high - low) * PANEL_HEIGHT

    yield f'<text class="title" x="{LEFT}" y="{top - 14}">{escape(title)}</text>'
    for tick in ticks:
        y = top + PANEL_HEIGHT - height(tick)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
    group = (WIDTH - LEFT - RIGHT) / len(rows)
    bar = group * 0.84 / len(names)
    for number, (shape, row) in enumerate(rows.items()):
        x = LEFT + number * group + group * 0.08
        for index, (server, name) in enumerate(names):
            if server not in row or row[server][figure] <= 0:
                continue
            size = max(height(row[server][figure]), 1)
            yield (
                f'<rect x="{x + index * bar:.1f}" y="{top + PANEL_HEIGHT - size:.1f}" width="{bar * 0.9:.1f}"'
                f' height="{size:.1f}" fill="{COLOURS[server]}">'
                f"<title>{escape(name)}, {escape(shape)}: {row[server][figure]:,.2f}</title></rect>"
            )
        middle = LEFT + (number + 0.5) * group
        yield f'<text x="{middle:.1f}" y="{top + PANEL_HEIGHT + 20}" text-anchor="middle">{escape(shape)}</text>'


def legend(top, names):
    step = (WIDTH - LEFT - RIGHT) / 4
    for index, (server, name) in enumerate(names):
        x, y = LEFT + index % 4 * step, top + index // 4 * 20
        yield f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" fill="{COLOURS[server]}"/>'
        yield f'<text x="{x + 18:.1f}" y="{y}">{escape(name)}</text>'


def svg(title, names, rows):
    """The picture.

    - names: [(server, its heading)], in the order of the bars.
    - rows: {shape: {server: (requests a second, CPU in µs a request)}}, in the order of the groups.
    """
    second = TOP + PANEL_HEIGHT + GAP
    bottom = second + PANEL_HEIGHT + 50
    whole = bottom + LEGEND_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" role="img"'
        f' aria-label="{escape(title)}">',
        STYLE,
        *panel(TOP, f"{title}: requests a second, more is better", names, rows, 0, False),
        *panel(second, "CPU of the server, µs a request, less is better (logarithmic)", names, rows, 1, True),
        *legend(bottom, names),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
