"""Tables of scores; needs nothing but Python."""

import json
import statistics

# The columns, and their digits behind the point.
COLUMNS = {
    "error": 3,
    "either": 3,
    "auc": 3,
    "scd": 2,
    "scd by use": 2,
    "stability": 3,
    "active": 1,
    "duplicates": 3,
    "thin": 3,
    "dead": 1,
    "iterations": 0,
    "seconds": 2,
}
MEAN = "mean of layers"


def mean_and_error(values):
    """The mean and its standard error over the seeds; `None` where there are too few values."""
    if not values:
        return None, None
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return statistics.fmean(values), error


def summary(point):
    """The scores of a point, as means and standard errors. The pairs of seeds are not independent: the standard error of the stability is
    that of as many values as there are seeds."""
    scores = {}
    for name, values in point["values"].items():
        mean, error = mean_and_error(values)
        if name == "stability" and error is not None:
            error *= (len(values) / len(point["values"]["error"])) ** 0.5
        scores[name] = {"mean": mean, "standard_error": error}
    return scores


def as_json(about, points):
    """What the table says, with a line for each point: a mean and its standard error for each score."""
    lines = []
    for point in points:
        scores = {name: [rounded(value["mean"]), rounded(value["standard_error"])] for name, value in summary(point).items()}
        lines.append(json.dumps({name: point[name] for name in ("layer", "rank", "setting")} | scores))
    return json.dumps(about)[:-1] + ', "points": [\n' + ",\n".join(lines) + "\n]}\n"


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def over_layers(points):
    """A point for each rank and setting that has the mean over all layers for every seed."""
    groups = {}
    for point in points:
        groups.setdefault((point["rank"], point["setting"]), []).append(point)
    means = []
    for (rank, setting), group in groups.items():
        values = {
            name: [statistics.fmean(layers) for layers in zip(*(point["values"][name] for point in group), strict=False)]
            for name in group[0]["values"]
        }
        means.append({"layer": MEAN, "rank": rank, "setting": setting, "values": values})
    return means


def cell(scores, name):
    mean, error = scores[name]["mean"], scores[name]["standard_error"]
    if mean is None:
        return "-"
    shown = f"{mean:.{COLUMNS[name]}f}"
    return shown if error is None or name in ("iterations", "seconds") else f"{shown} ± {error:.{COLUMNS[name]}f}"


def markdown(about, points):
    """A table for each rank, with the mean over all layers at its end."""
    lines = [f"Commit {about['commit']}; `{about['command']}`. Seeds {', '.join(map(str, about['seeds']))}; mean ± standard error.", ""]
    lines += [f"- {name}: " + (f"`{options}`" if options else "no options") for name, options in about["settings"].items()]
    layers = {point["layer"] for point in points}
    for rank in sorted({point["rank"] for point in points}):
        shown = [point for point in points + (over_layers(points) if len(layers) > 1 else []) if point["rank"] == rank]
        lines += ["", f"K = {rank}", "", "| layer | setting | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
        for point in shown:
            scores = summary(point)
            lines.append(f"| {point['layer']} | {point['setting']} | " + " | ".join(cell(scores, name) for name in COLUMNS) + " |")
    return "\n".join(lines) + "\n"
