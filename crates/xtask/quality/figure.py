"""The trade-off between the error and what features are worth to a reader, as SVG. Needs nothing but Python."""

from xml.sax.saxutils import escape

import table

WIDTH, HEIGHT = 760, 300
MARGIN = {"left": 46, "right": 12, "top": 30, "bottom": 40}
PANELS = (("either", "purity or token purity"), ("stability", "stability"), ("active", "features a token"))
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d5d5d", "#8a6d00")


def trade_off(points):
    """Mean error of all layers against three scores: a panel for each score, a colour for each setting, a size for each rank."""
    layers = {point["layer"] for point in points}
    shown = table.over_layers(points) if len(layers) > 1 else points
    settings = list(dict.fromkeys(point["setting"] for point in shown))
    ranks = sorted({point["rank"] for point in shown})
    height = HEIGHT + 18 * len(settings) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for index, (score, title) in enumerate(PANELS):
        parts += panel(shown, settings, ranks, score, title, index * WIDTH / len(PANELS), WIDTH / len(PANELS))
    for index, name in enumerate(settings):
        y = HEIGHT + 18 * index + 8
        parts.append(f'<circle cx="{MARGIN["left"]}" cy="{y}" r="5" fill="{colour(index)}"/>')
        parts.append(f'<text x="{MARGIN["left"] + 12}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def colour(index):
    return COLOURS[index % len(COLOURS)]


def panel(points, settings, ranks, score, title, left, width):
    """One score against the error. Means of seeds, with two standard errors to both sides."""
    values = []
    for point in points:
        scores = table.summary(point)
        if scores[score]["mean"] is not None:
            values.append((point, scores["error"], scores[score]))
    if not values:
        return []
    across = Axis([error["mean"] for _, error, _ in values], left + MARGIN["left"], left + width - MARGIN["right"])
    along = Axis([value["mean"] for _, _, value in values], HEIGHT - MARGIN["bottom"], MARGIN["top"])
    parts = [f'<text x="{left + MARGIN["left"]}" y="18" font-weight="bold">{escape(title)}</text>']
    for tick in along.ticks():
        y = along.place(tick)
        parts.append(f'<path d="M{across.begin:.1f} {y:.1f}H{across.end:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{across.begin - 5:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="#444444">{tick:g}</text>')
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(f'<path d="M{x:.1f} {along.begin:.1f}V{along.begin + 4:.1f}" stroke="#888888"/>')
        parts.append(f'<text x="{x:.1f}" y="{along.begin + 16:.1f}" text-anchor="middle" fill="#444444">{tick:g}</text>')
    middle = (across.begin + across.end) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">relative error</text>')
    for point, error, value in values:
        x, y, fill = across.place(error["mean"]), along.place(value["mean"]), colour(settings.index(point["setting"]))
        if value["standard_error"]:
            low, high = (along.place(value["mean"] + sign * 2 * value["standard_error"]) for sign in (-1, 1))
            parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{fill}"/>')
        label = escape(f"{point['setting']}, K = {point['rank']}: error {error['mean']:.3f}, {title} {value['mean']:.3f}")
        radius = 4 + 2 * ranks.index(point["rank"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" fill-opacity="0.8"><title>{label}</title></circle>')
    return parts


class Axis:
    """Numbers on a line from `begin` to `end`."""

    def __init__(self, values, begin, end):
        span = max(values) - min(values) or abs(values[0]) or 1
        self.least, self.most = min(values) - 0.1 * span, max(values) + 0.1 * span
        self.begin, self.end = begin, end

    def place(self, value):
        return self.begin + (value - self.least) / (self.most - self.least) * (self.end - self.begin)

    def ticks(self):
        """Three to six round numbers."""
        span = self.most - self.least
        step = next(f * 10.0**e for e in range(-6, 6) for f in (1, 2, 5) if span / (f * 10.0**e) <= 6)
        first = -int(-self.least // step) if self.least < 0 else int(self.least // step) + 1
        return [round(step * n, 9) for n in range(first, first + 8) if self.least <= step * n <= self.most]
