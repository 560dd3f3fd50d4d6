#!/usr/bin/env python3
"""Draws a trace of `lockstep bench … --profile` as an SVG picture and tells how busy the device was.

  scripts/plot_trace.py trace.json trace.svg
  scripts/plot_trace.py trace.json trace.svg --begin 4.2 --end 9.7     # milliseconds from the start of the trace
  scripts/plot_trace.py trace.json --kernels                           # a table of the device's kernels, and what collectives cost

One row a thread of the host and a stream of the device, more where spans overlap; a span inside another lies below it. The legend has
the names with most time. Python's standard library only.
"""

import argparse
import json
import sys
from collections import defaultdict
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, LANE, GAP = 1200, 110, 16, 20, 10
COLORS = ["#3b5b92", "#b5651d", "#4f8a5b", "#8c4b8c", "#b8a13a", "#3f9aa8", "#a84444", "#6b6bbd", "#7a8a3a", "#a06a8a"]
OTHER = "#9a9a9a"
CHARACTER = 6.4  # width of one at font size 11, in pixels


class Span:
    def __init__(self, event, row):
        self.name, self.row = event["name"], row
        self.begin, self.end = event["ts"], event["ts"] + event["dur"]


def read(path):
    """Spans with times in microseconds, and the rows' titles in order."""
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    named = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M"}
    titles = {}
    for (what, process, thread), name in sorted(named.items(), key=lambda item: item[0][1:]):
        if what == "thread_name":
            titles[(process, thread)] = f"{named.get(('process_name', process, 0), '')} {name}".strip()
    return [Span(e, (e["pid"], e["tid"])) for e in events if e["ph"] == "X"], titles, named


def assign_lanes(spans):
    """span -> lane, the first that is free at its beginning; so what lies inside another comes below it. Returns the lane count."""
    free_from = []
    lanes = {}
    for span in sorted(spans, key=lambda s: (s.begin, -s.end)):
        lane = next((i for i, end in enumerate(free_from) if end <= span.begin), len(free_from))
        if lane == len(free_from):
            free_from.append(0.0)
        free_from[lane] = span.end
        lanes[span] = lane
    return lanes, len(free_from)


def busy(spans, begin, end):
    """Microseconds of [begin, end) that at least one span covers."""
    covered, reached = 0.0, begin
    for span in sorted(spans, key=lambda s: s.begin):
        covered += max(0.0, min(span.end, end) - max(span.begin, reached))
        reached = max(reached, min(span.end, end))
    return covered


COLLECTIVES = ("one_shot", "two_shot", "peer_all_gather", "nccl")


def print_kernels(device, steps):
    """Where a kernel begins before the one before it has ended, the time of both counts."""
    calls, times = defaultdict(int), defaultdict(float)
    for span in device:
        calls[span.name] += 1
        times[span.name] += span.end - span.begin
    total = sum(times.values())
    print(f"{'us':>10} {'share':>7} {'calls':>7} {'us a call':>10}  kernel")
    for name in sorted(times, key=times.get, reverse=True):
        print(f"{times[name]:10.1f} {100 * times[name] / total:6.1f}% {calls[name]:7} {times[name] / calls[name]:10.2f}  {name}")
    collective = sum(time for name, time in times.items() if any(part in name.lower() for part in COLLECTIVES))
    print(f"{steps} steps; kernels {total / steps / 1e3:.3f} ms a step, collectives {collective / steps / 1e3:.3f} ms of it, "
          f"with what they wait for other ranks")


def draw(spans, titles, begin, end):
    scale = (WIDTH - LEFT - RIGHT) / (end - begin)
    x_of = lambda time: LEFT + (min(max(time, begin), end) - begin) * scale  # noqa: E731
    totals = defaultdict(lambda: [0.0, 0])
    for span in spans:
        totals[span.name][0] += min(span.end, end) - max(span.begin, begin)
        totals[span.name][1] += 1
    ranked = sorted(totals, key=lambda name: -totals[name][0])
    color = {name: COLORS[i] if i < len(COLORS) else OTHER for i, name in enumerate(ranked)}

    body, y = [], 24
    for row, title in titles.items():
        mine = [span for span in spans if span.row == row]
        if not mine:
            continue
        lanes, count = assign_lanes(mine)
        body.append(f'<text x="8" y="{y + 14}">{escape(title)}</text>')
        for span, lane in lanes.items():
            x, width = x_of(span.begin), max(x_of(span.end) - x_of(span.begin), 0.3)
            top = y + lane * LANE
            body.append(f'<rect x="{x:.2f}" y="{top}" width="{width:.2f}" height="{LANE - 3}" fill="{color[span.name]}">'
                        f"<title>{escape(span.name)}: {span.end - span.begin:.1f} us</title></rect>")
            room = int((width - 6) / CHARACTER)
            if room >= 3:
                label = span.name if len(span.name) <= room else span.name[: room - 1] + "…"
                body.append(f'<text class="in" x="{x + 3:.2f}" y="{top + 13}">{escape(label)}</text>')
        y += count * LANE + GAP

    axis = y + 4
    step = next(s for s in (10.0**e * m for e in range(-1, 9) for m in (1, 2, 5)) if (end - begin) / s <= 12)
    for i in range(int((end - begin) / step) + 1):
        x = x_of(begin + i * step)
        body.append(f'<path d="M{x:.2f} 16V{axis}" class="grid"/><text class="axis" x="{x:.2f}" y="{axis + 13}">{i * step / 1e3:g}</text>')
    body.append(f'<text x="8" y="{axis + 13}">ms</text>')
    y = axis + 34
    for i, name in enumerate(ranked[: len(COLORS)]):
        x, line = LEFT + (i % 2) * 530, y + (i // 2) * 18
        time, count = totals[name]
        body.append(f'<rect x="{x}" y="{line - 10}" width="12" height="12" fill="{color[name]}"/>'
                    f'<text x="{x + 18}" y="{line}">{escape(name[:52])}: {time / 1e3:.3f} ms in {count}</text>')
    height = y + (min(len(ranked), len(COLORS)) + 1) // 2 * 18
    style = "text{fill:#222} .in{fill:#fff} .axis{text-anchor:middle;fill:#555} .grid{stroke:#ddd;fill:none}"
    grids = [part for part in body if 'class="grid"' in part]
    rest = [part for part in body if 'class="grid"' not in part]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                      'font-family="sans-serif" font-size="11">', f"<style>{style}</style>",
                      f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *grids, *rest, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", help="what --profile wrote")
    parser.add_argument("picture", nargs="?", help="the SVG file to write")
    parser.add_argument("--kernels", action="store_true", help="a table of the kernels")
    parser.add_argument("--begin", type=float, default=0.0, help="ms (default: 0)")
    parser.add_argument("--end", type=float, help="ms (default: the end of the trace)")
    args = parser.parse_args()
    spans, titles, named = read(args.trace)
    begin = args.begin * 1e3
    end = args.end * 1e3 if args.end is not None else max((span.end for span in spans), default=0.0)
    inside = [span for span in spans if span.end > begin and span.begin < end]
    if not inside:
        print(f"{args.trace}: no span lies between {begin / 1e3} and {end / 1e3} ms", file=sys.stderr)
        return 1
    if args.picture:
        with open(args.picture, "w", encoding="utf-8") as file:
            file.write(draw(inside, titles, begin, end))
    device = [span for span in inside if named.get(("process_name", span.row[0], 0)) == "device"]
    if device:
        first, last = max(begin, min(s.begin for s in device)), min(end, max(s.end for s in device))
        idle = last - first - busy(device, first, last)
        print(f"the device was idle for {idle:.1f} of {last - first:.1f} us: {100 * idle / (last - first):.2f} %")
        if args.kernels:
            print_kernels(device, max(1, sum(span.name == "launch" for span in inside)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
