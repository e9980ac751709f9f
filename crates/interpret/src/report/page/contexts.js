// Stretches of text, shaded by strength.

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/g;
const LEFT_TO_RIGHT = /[A-Za-z\u00c0-\u024f\u0370-\u058f\u0900-\u1fff\u3040-\ud7af]/g;

// The direction of most letters; every token is isolated, so the order of tokens hangs on it.
function direction(texts) {
  const all = texts.join("");
  return (all.match(RIGHT_TO_LEFT)?.length ?? 0) > (all.match(LEFT_TO_RIGHT)?.length ?? 0) ? "rtl" : "ltr";
}

const unseenSign = (text) => (text === "" ? "◌" : text.replaceAll(" ", "·").replaceAll("\n", "⏎"));

// `maximum`: the coefficient that strength 1 stands for.
function contextItem(context, maximum) {
  const texts = context.t.map((index) => report.strings[index]);
  const pieces = texts.map((text, i) => {
    const strength = parseInt(context.s.slice(2 * i, 2 * i + 2), 16) / 255;
    const isPeak = i === context.peak;
    // One token of a text can be reached with Tab, the others from there with the arrow keys.
    const attributes = { class: isPeak ? "piece peak" : "piece", "data-hint": true, tabindex: isPeak ? "0" : "-1" };
    if (strength > 0) attributes["--strength"] = strength.toFixed(3);
    // The shade begins at the word, not at the blank that its token carries. A token without a glyph gets a sign if it is
    // active, and its name if the text was chosen for it.
    const blank = /^ *(?=[^ ])/.exec(text)?.[0] ?? "";
    const unseen = isUnseen(text) && (strength > 0 || isPeak);
    const inner = unseen ? h("span", { class: isPeak ? "sign boxed" : "sign" }, isPeak ? unseenName(text) : unseenSign(text)) : shown(text.slice(blank.length));
    const piece = h("bdi", attributes, !unseen && blank, h("span", { class: "shade" }, inner), unseen && text);
    const coefficient = isPeak ? context.coefficient : strength * maximum;
    return withHint(piece, () =>
      strength > 0 || isPeak
        ? `${tokenName(text)}: coefficient ${small(coefficient)}${isNumber(maximum) ? `, ${whole(strength * 100)}% of the maximum` : ""}`
        : `${tokenName(text)}: not active`);
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

// Moves among the tokens of a text.
document.addEventListener("keydown", (event) => {
  const piece = event.target instanceof Element && event.target.closest(".piece");
  if (!piece || event.ctrlKey || event.metaKey || event.altKey) return;
  const pieces = [...piece.parentElement.querySelectorAll(".piece")];
  const at = pieces.indexOf(piece);
  const forward = piece.parentElement.dir === "rtl" ? -1 : 1;
  const places = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: pieces.length - 1 };
  const next = Object.hasOwn(places, event.key) && pieces[places[event.key]];
  if (!next) return;
  event.preventDefault();
  piece.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

const contextList = (contexts, maximum) => h("ol", { class: "contexts" }, contexts.map((context) => contextItem(context, maximum)));

const strengthLegend = () =>
  h("span", { class: "legend", "aria-hidden": "true" }, "weak ", h("i", { class: "ramp" }), " strong");

// The contexts of the rest of a feature's range, band by band.
function bandList(feature) {
  const all = feature.bands.reduce((sum, band) => sum + band.tokens, 0);
  return feature.bands.map(({ range: [least, largest], tokens, contexts }) => h("section", { class: "band" },
    h("h4", {}, h("strong", {}, `${whole(100 * least)} to ${whole(100 * largest)}%`), ` of the maximum: ${count(tokens, "token")}, ${percent(tokens / all)} of those that use it`),
    contexts.length > 0 ? contextList(contexts, feature.max_coefficient) : h("p", { class: "about" }, "All in contexts above.")));
}
