// Plots over the number of features, on a logarithmic scale. A dot leads to the row of its point.

const PLOT = { width: isNarrow() ? 350 : 480, height: isNarrow() ? 210 : 262, left: 46, right: 14, top: 12, foot: 34 };

// Round steps for an axis.
function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// Labels of ranks that do not touch one another.
function rankLabels(ranks, x) {
  const kept = [];
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    if (kept.length === 0 || x(rank) - x(kept.at(-1)) > 30) kept.push(rank);
  }
  return kept;
}

// series: [{ own, second, values: [{ rank, value, low, high, row, hint }] }]; chosen: the recommended rank.
function plot({ name, about, series, chosen, from, to, diagonal, digits, legend }) {
  const { width, height, left, right, top, foot } = PLOT;
  const drawn = series.map((one) => ({ ...one, values: one.values.filter((value) => isNumber(value.value)) })).filter((one) => one.values.length > 0);
  const all = drawn.flatMap((one) => one.values);
  if (all.length === 0) return null;
  const ranks = [...new Set(all.map((value) => value.rank))];
  const [fewest, most] = [Math.min(...ranks), Math.max(...ranks)];
  const ends = all.flatMap((value) => [value.value, value.low, value.high].filter(isNumber));
  let low = from ?? Math.min(...ends);
  let high = to ?? Math.max(...ends);
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const margin = 0.06 * (high - low);
  if (from === undefined) low -= margin;
  if (to === undefined) high += margin;
  const x = (rank) => left + 12 + (most > fewest ? Math.log(rank / fewest) / Math.log(most / fewest) : 0.5) * (width - left - right - 24);
  const y = (value) => top + (high - value) / (high - low) * (height - top);
  const write = written({ minimumFractionDigits: digits, maximumFractionDigits: digits });
  const grid = ticks(low, high).map((value) => [
    s("line", { class: "grid", x1: left, x2: width - right, y1: fixed(y(value)), y2: fixed(y(value)) }),
    s("text", { x: left - 8, y: fixed(y(value) + 4), "text-anchor": "end" }, write(value)),
  ]);
  const labels = rankLabels(ranks, x).map((rank) => s("text", { x: fixed(x(rank)), y: height + 17, "text-anchor": "middle" }, whole(rank)));
  // As many as there are features.
  const equal = diagonal && Array.from({ length: 25 }, (_, i) => fewest * (most / fewest) ** (i / 24)).filter((rank) => rank <= high);
  const lines = drawn.map(({ own, second, values }) => {
    const sorted = [...values].sort((a, b) => a.rank - b.rank);
    const path = sorted.map((value, i) => `${i === 0 ? "M" : "L"}${fixed(x(value.rank))} ${fixed(y(value.value))}`).join("");
    const marks = sorted.map((value) => withHint(
      s("a", { class: "mark", href: value.row, "data-hint": true, "aria-label": value.hint },
        isNumber(value.low) && s("line", { class: "range", x1: fixed(x(value.rank)), x2: fixed(x(value.rank)), y1: fixed(y(value.low)), y2: fixed(y(value.high)) }),
        s("circle", { class: "catch", cx: fixed(x(value.rank)), cy: fixed(y(value.value)), r: 11 }),
        s("circle", { class: second ? "dot second" : "dot", cx: fixed(x(value.rank)), cy: fixed(y(value.value)), r: 4.5 })),
      () => value.hint));
    return s("g", { "--own": own }, s("path", { class: second ? "line second" : "line", d: path }), marks);
  });
  return h("figure", { class: "plot" },
    h("h3", {}, name), h("p", { class: "about" }, about),
    s("svg", { viewBox: `0 0 ${width} ${height + foot}`, role: "group", "aria-label": `${name} by the number of features` },
      grid,
      isNumber(chosen) && s("line", { class: "chosen", x1: fixed(x(chosen)), x2: fixed(x(chosen)), y1: top, y2: height }),
      equal && s("path", { class: "diagonal", fill: "none", d: equal.map((rank, i) => `${i === 0 ? "M" : "L"}${fixed(x(rank))} ${fixed(y(rank))}`).join("") }),
      lines, labels,
      s("text", { x: fixed((left + width - right) / 2), y: height + foot - 1, "text-anchor": "middle" }, "number of features K")),
    h("div", { class: "legend" }, legend));
}
const fixed = (value) => value.toFixed(1);
