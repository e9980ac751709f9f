// Graphics: plain SVG, coloured by the style sheet.

const fixed = (value) => value.toFixed(1);

// Counts of coefficients on a logarithmic scale.
function histogramChart({ edges, counts }) {
  const [width, height, foot] = [340, 120, 18];
  const most = Math.max(1, ...counts);
  const tall = (count) => (count > 0 ? 3 + (Math.log(count) / Math.max(Math.log(most), 1e-9) || 0) * (height - 3) : 0);
  const step = width / Math.max(counts.length, 1);
  const bars = counts.map((count, i) => {
    const bar = s("g", { "data-hint": true },
      s("rect", { class: "catch", x: fixed(i * step), y: 0, width: fixed(step), height }),
      s("rect", { class: "column", x: fixed(i * step + 0.75), y: fixed(height - tall(count)), width: fixed(Math.max(step - 1.5, 0.5)), height: fixed(tall(count)), rx: 1 }));
    return withHint(bar, () => `${count === 1 ? "1 token" : whole(count) + " tokens"} with a coefficient from ${small(edges[i])} to ${small(edges[i + 1])}`);
  });
  const label = `Histogram of the coefficients from ${small(edges[0])} to ${small(edges.at(-1))}, on a logarithmic scale; at most ${whole(most)} tokens in a bin`;
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": label },
    bars,
    s("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }),
    s("text", { x: 0, y: height + 14 }, small(edges[0])),
    s("text", { x: width, y: height + 14, "text-anchor": "end" }, small(edges.at(-1))));
}

// How many tokens use 0, 1, 2, … features; beyond 60 they are put together.
function useChart({ tokens, median }) {
  const [width, height, foot] = [isNarrow() ? 330 : 520, 110, 22];
  const wide = Math.ceil(tokens.length / 60);
  const bins = Array.from({ length: Math.ceil(tokens.length / wide) }, (_, i) => tokens.slice(i * wide, (i + 1) * wide).reduce((sum, value) => sum + value, 0));
  const [most, step] = [Math.max(1, ...bins), width / bins.length];
  const bars = bins.map((value, i) => {
    const tall = (value / most) * (height - 2);
    const range = wide === 1 ? count(i, "feature") : `${whole(i * wide)} to ${whole((i + 1) * wide - 1)} features`;
    const has = median >= i * wide && median < (i + 1) * wide;
    return withHint(s("g", { "data-hint": true, class: has ? "has" : null },
      s("rect", { class: "catch", x: fixed(i * step), y: 0, width: fixed(step), height }),
      s("rect", { class: "column", x: fixed(i * step + 0.5), y: fixed(height - tall), width: fixed(Math.max(step - 1, 0.5)), height: fixed(tall) })),
      () => `${count(value, "token")} with ${range}`);
  });
  return s("svg", { class: "chart use", viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": `Features active at a token: ${whole(median)} at the median token, at most ${whole(tokens.length - 1)}` },
    bars, s("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }),
    s("text", { x: 0, y: height + 16 }, "0"),
    s("text", { x: width, y: height + 16, "text-anchor": "end" }, whole(tokens.length - 1)));
}

// The relative error after each iteration, with the one that was kept.
function lossChart(curve, best) {
  const points = curve.map((value, i) => [i, value]).filter((point) => isNumber(point[1]));
  if (points.length === 0) return null;
  const [width, height, left, top, foot] = [isNarrow() ? 330 : 520, 170, 52, 14, 22];
  const values = points.map((point) => point[1]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (i) => left + (curve.length > 1 ? i / (curve.length - 1) : 0.5) * (width - left - 14);
  const y = (value) => top + (high > low ? (high - value) / (high - low) : 0.5) * (height - top);
  const path = points.map(([i, value], n) => `${n === 0 ? "M" : "L"}${fixed(x(i))} ${fixed(y(value))}`).join("");
  const grid = [0, 0.5, 1].map((part) => {
    const value = low + part * (high - low);
    return [
      s("line", { class: "grid", x1: left, x2: width, y1: fixed(y(value)), y2: fixed(y(value)) }),
      s("text", { x: left - 8, y: fixed(y(value) + 4), "text-anchor": "end" }, fixed3(value)),
    ];
  });
  const kept = best >= 1 && isNumber(curve[best - 1]) && [
    s("circle", { class: "best", cx: fixed(x(best - 1)), cy: fixed(y(curve[best - 1])), r: 5 }),
    s("text", { class: "strong", x: fixed(Math.min(x(best - 1), width - 4)), y: fixed(y(curve[best - 1]) - 12), "text-anchor": "end" },
      `iteration ${best}: ${fixed4(curve[best - 1])}`),
  ];
  const spots = points.map(([i, value]) =>
    withHint(s("circle", { class: "spot", "data-hint": true, cx: fixed(x(i)), cy: fixed(y(value)), r: 6 }), () => `Iteration ${i + 1}: relative error ${fixed4(value)}`));
  return s("svg", { class: "chart loss", viewBox: `0 0 ${width} ${height + foot}`, role: "img",
    "aria-label": `Relative error over ${count(curve.length, "iteration")}, from ${fixed4(values[0])} to ${fixed4(values.at(-1))}` },
    high > low ? grid : grid[0], s("path", { class: "line", d: path }), kept, spots,
    s("text", { x: x(0), y: height + 17 }, "1"),
    s("text", { x: width - 14, y: height + 17, "text-anchor": "end" }, curve.length > 1 ? `${curve.length} iterations` : ""));
}

// A bar from the left for 0..1, or from the middle for −1..1.
function meter(value, most) {
  const part = isNumber(value) && most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  return h("span", { class: "meter", "aria-hidden": "true" }, h("i", { "--part": part.toFixed(4) }));
}

function signedMeter(value, most) {
  const part = isNumber(value) && most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  return h("span", { class: "meter signed", "aria-hidden": "true" }, h("i", { class: value < 0 ? "minus" : "plus", "--part": part.toFixed(4) }));
}
