"""Training curves as small drawings."""

import csv
import html
import math
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 150, 46, 8, 10, 20
MAX_POINTS = 400
BAR, NAMES_WIDTH = 16, 84


def read_table(path: Path) -> dict[str, list[float]]:
    """Columns of numbers of a CSV file with a head line; what is no number is NaN."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def draw(x: list[float], y: list[float], x_name: str) -> str:
    """One curve as an SVG element with its ends of both axes; "" where there are no two points."""
    points = [(a, b) for a, b in zip(x, y) if math.isfinite(a) and math.isfinite(b)]
    if len(points) < 2:
        return ""
    step = math.ceil(len(points) / MAX_POINTS)
    points = points[::step] + ([points[-1]] if (len(points) - 1) % step else [])
    x0, x1 = min(a for a, _ in points), max(a for a, _ in points)
    y0, y1 = min(b for _, b in points), max(b for _, b in points)
    spread = y1 - y0 or abs(y1) or 1.0

    def place(a: float, b: float) -> str:
        across = LEFT + (a - x0) / ((x1 - x0) or 1) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y1 - b) / spread * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    line = " ".join(place(a, b) for a, b in points)
    base = HEIGHT - BOTTOM
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>'
        f'<text class="end" x="{LEFT - 5}" y="{TOP + 6}">{short(y1)}</text>'
        f'<text class="end" x="{LEFT - 5}" y="{base}">{short(y0)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{short(x0)}</text>'
        f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">{html.escape(x_name)} {short(x1)}</text>'
        f'<polyline points="{line}"/></svg>'
    )


def read_texts(path: Path) -> tuple[str, list[str]]:
    """Name and cells of the first column: where it is no number, the table is of classes, not of steps."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return (rows[0][0], [row[0] for row in rows[1:] if row]) if rows and rows[0] else ("", [])


def bars(rows: list[tuple[str, float, str]]) -> str:
    """Bars of values between 0 and 1 as an SVG element: rows of (name, value, CSS colour)."""
    parts = [f'<svg class="curve bars" viewBox="0 0 {WIDTH} {len(rows) * BAR + 4}" role="img">']
    for index, (name, value, colour) in enumerate(rows):
        y, known = index * BAR + 2, math.isfinite(value)
        length = max(1.0, min(1.0, max(0.0, value)) * (WIDTH - NAMES_WIDTH - 44)) if known else 0
        parts.append(f'<text class="end" x="{NAMES_WIDTH - 6}" y="{y + 10}">{html.escape(name)}</text>')
        parts.append(
            f'<rect x="{NAMES_WIDTH}" y="{y + 1}" width="{length:.1f}" height="{BAR - 5}" style="fill:{colour}"/>'
        )
        text = f"{value:.2f}" if known else "none"
        parts.append(f'<text x="{NAMES_WIDTH + length + 5:.1f}" y="{y + 10}">{text}</text>')
    return "".join([*parts, "</svg>"])


def short(value: float) -> str:
    """A number as people write it."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}"


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
