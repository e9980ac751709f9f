"""Statistics and tables of runs; needs nothing but Python."""
import itertools
import statistics


def spread(values):
    """Least, median and most of at least one number."""
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def best(losses):
    """The least loss and the iteration, from 1, that has it first."""
    least = min(losses)
    return least, losses.index(least) + 1


def reach(losses, ends, target):
    """The first iteration, from 1, whose loss is at most the target, and the seconds at its end; None without one."""
    for iteration, (loss, end) in enumerate(zip(losses, ends, strict=True), 1):
        if loss <= target:
            return iteration, end
    return None


def ends(start, seconds):
    """When each iteration ended, from the time of the start and of each iteration."""
    total, result = start, []
    for second in seconds:
        total += second
        result.append(total)
    return result


def differences(moments):
    """Times between moments that follow each other."""
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def milliseconds(values):
    """Least, median and most in milliseconds."""
    return three(values, 1e3, " ms")


def three(values, scale=1.0, unit=" s"):
    """`least, **median**, most`, or the median alone if they do not differ in what is shown."""
    shown = {name: digits(value * scale) for name, value in values.items()}
    if shown["least"] == shown["most"]:
        return f"**{shown['median']}**{unit}"
    return f"{shown['least']}, **{shown['median']}**, {shown['most']}{unit}"


def digits(value):
    """Three significant digits, and never an exponent."""
    if value == 0:
        return "0"
    places = 2
    while places < 9 and abs(value) < 10 ** (2 - places):
        places += 1
    for limit, fewer in ((99.95, 0), (9.995, 1)):
        if abs(value) >= limit:
            return f"{value:.{fewer}f}"
    return f"{value:.{places}f}"


def megabytes(count):
    """Bytes in MB."""
    return f"{count / 1e6:,.0f} MB"


def table(header, rows):
    """A markdown table of strings."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
