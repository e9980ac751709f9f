// Stretches of text, shaded by strength.

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/g;
const LEFT_TO_RIGHT = /[A-Za-z\u00c0-\u024f\u0370-\u058f\u0900-\u1fff\u3040-\ud7af]/g;

// The direction of most letters; every token is isolated, so the order of tokens hangs on it.
function direction(texts) {
  const all = texts.join("");
  return (all.match(RIGHT_TO_LEFT)?.length ?? 0) > (all.match(LEFT_TO_RIGHT)?.length ?? 0) ? "rtl" : "ltr";
}

// `maximum`: the coefficient that strength 1 stands for.
function contextItem(context, maximum) {
  const texts = context.t.map((index) => report.strings[index]);
  const pieces = texts.map((text, i) => {
    const strength = parseInt(context.s.slice(2 * i, 2 * i + 2), 16) / 255;
    const isPeak = i === context.peak;
    const attributes = { class: isPeak ? "piece peak" : "piece", "data-hint": true };
    if (strength > 0) attributes["--strength"] = strength.toFixed(3);
    // The shade begins at the word, not at the blank that its token carries.
    const blank = /^ *(?=[^ ])/.exec(text)?.[0] ?? "";
    const piece = h("bdi", attributes, blank, h("span", { class: "shade" }, shown(text.slice(blank.length))));
    const coefficient = isPeak ? context.coefficient : strength * maximum;
    return withHint(piece, () =>
      strength > 0 || isPeak
        ? `${plain(text).trim() || "blank"}: coefficient ${small(coefficient)}${isNumber(maximum) ? `, ${whole(strength * 100)}% of the maximum` : ""}`
        : `${plain(text).trim() || "blank"}: not active`);
  });
  const about = [
    isNumber(maximum) && maximum > 0 && isNumber(context.coefficient) && h("span", { class: "context-strength" }, `${whole((100 * context.coefficient) / maximum)}%`),
    context.prompt_label !== null && isolated(context.prompt_label, { class: "tag" }),
    context.prompt !== null && h("span", {}, `prompt ${context.prompt}`),
    context.merged > 0 && h("span", {}, `and ${count(context.merged, "more like it", "more like it")}`),
  ];
  return h("li", { class: "context" },
    h("p", { class: "context-text", dir: direction(texts) },
      context.cut_before && h("span", { class: "cut" }, texts[0]?.startsWith(" ") ? "…" : "…\u00a0"), pieces, context.cut_after && h("span", { class: "cut" }, "\u00a0…")),
    h("p", { class: "context-about" }, about));
}

const contextList = (contexts, maximum) => h("ol", { class: "contexts" }, contexts.map((context) => contextItem(context, maximum)));

const strengthLegend = () =>
  h("span", { class: "legend", "aria-hidden": "true" }, "weak ", h("i", { class: "ramp" }), " strong");
