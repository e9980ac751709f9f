// The layers: what is recommended and why, plots, and a row for each point.

const sweep = JSON.parse(at("data").textContent);
const several = sweep.layers.length > 1;

const HELD_OUT = sweep.layers.every((layer) => layer.by_prompt) ? "prompts" : sweep.layers.some((layer) => layer.by_prompt) ? "prompts, or tokens where prompts are not known," : "tokens";
const FOLDS = Math.max(0, ...sweep.layers.flatMap((layer) => layer.points.map((point) => point.folds.length)));

const MEANINGS = [
  ["error", "‖X − YZ‖² / ‖X‖² of the fits with all tokens, a mean over the seeds. It falls with every feature."],
  ["held-out error", `The same for ${HELD_OUT} that the features have not seen${FOLDS > 0 ? `, in ${FOLDS} folds` : ""}. The coefficients of a token come from a random half of its neurons, and the error is that on the other half (bi-cross-validation, Owen and Perry 2009). It stops falling when there are enough features, and rises when they follow the noise.`],
  ["stability", "The mean cosine of the features of two fits that differ in their seeds alone, matched one to one."],
  ["come back", "Features of a fit that at least half of the other seeds find as well, with a cosine of at least 0.8."],
  ["duplicates", "Features with a near copy in the same fit: another one with a cosine of at least 0.9."],
  ["dead", "Features that no token uses."],
  ["active", "Features that a token uses, a mean over the tokens."],
];

const layerId = (number) => `layer-${number}`;
const rowId = (number, point) => `layer-${number}-K${point.rank}-m${point.kept}`;
const hasEvery = (layer, key) => layer.points.some((point) => isNumber(point[key]));

// The lines of a layer: one for each sparsity.
function lines(layer) {
  const shares = [...new Set(layer.points.map((point) => point.sparsity))].sort((a, b) => a - b);
  return shares.map((share, i) => {
    const points = layer.points.filter((point) => point.sparsity === share);
    return { own: `var(--series-${i % 6})`, name: `${whole(points[0].kept)} neurons (${percent(share)})`, points };
  });
}

function pointName(layer, point) {
  const shares = new Set(layer.points.map((other) => other.sparsity));
  return `K = ${whole(point.rank)}` + (shares.size > 1 ? `, ${whole(point.kept)} neurons` : "");
}

function drawPlots(layer, number) {
  const drawn = lines(layer);
  const chosen = layer.points.find((point) => point.recommended)?.rank;
  const series = (own, key, second, words, low, high) => drawn.map((line) => ({
    own: drawn.length > 1 ? line.own : own, second,
    values: line.points.map((point) => ({
      rank: point.rank, value: point[key], row: "#" + rowId(number, point),
      low: low?.(point), high: high?.(point), hint: `${pointName(layer, point)}: ${words(point)}`,
    })),
  }));
  // Where each sparsity has a colour, what holds for all of them has none.
  const ownOfAll = drawn.length > 1 ? "var(--soft)" : "var(--series-0)";
  const names = () => drawn.length > 1 && drawn.map((line) => h("span", { "--own": line.own }, h("i", {}), line.name));
  const shown = () => isNumber(chosen) && h("span", { class: "is-chosen" }, h("i", {}), "recommended");
  const least = (values) => (values.length > 0 ? Math.min(...values) : undefined);
  const largest = (values) => (values.length > 0 ? Math.max(...values) : undefined);
  const spread = (point) => {
    const mean = point.held_out;
    const count = point.folds.length;
    return count > 1 ? Math.sqrt(point.folds.reduce((sum, fold) => sum + (fold - mean) ** 2, 0) / (count - 1) / count) : 0;
  };
  return h("div", { class: "plots" },
    plot({
      name: hasEvery(layer, "held_out") ? "Error, and held-out error" : "Error",
      about: hasEvery(layer, "held_out")
        ? "Less is better. The error of a fit always falls. That on held-out tokens and neurons stops falling when the features suffice."
        : "Less is better. It always falls, so it does not say how many features suffice.",
      series: [
        ...series("var(--series-0)", "held_out", false, (point) => `held-out error ${fixed4(point.held_out)}, standard error ${fixed4(spread(point))}`,
          (point) => point.held_out - spread(point), (point) => point.held_out + spread(point)),
        ...series("var(--series-0)", "error", true, (point) => `error ${fixed4(point.error)}`),
      ],
      chosen, digits: 2,
      legend: [
        hasEvery(layer, "held_out") && h("span", { "--own": ownOfAll }, h("i", {}), "held-out error, with its standard error"),
        h("span", { class: "second", "--own": ownOfAll }, h("i", {}), "error"), names(), shown()],
    }),
    plot({
      name: "Stability",
      about: "More is better. How alike the features of two seeds are; it peaks where the number of features is right.",
      series: series("var(--series-0)", "stability", false,
        (point) => `stability ${fixed3(point.stability)}, from ${fixed3(least(point.stabilities))} to ${fixed3(largest(point.stabilities))} over the pairs of seeds`,
        (point) => least(point.stabilities), (point) => largest(point.stabilities)),
      chosen, digits: 2, to: 1, legend: [names(), shown()],
    }),
    plot({
      name: "Features that come back",
      about: "Features that other seeds find as well. On the dotted line all of them do. If there are too many features, their number no longer grows.",
      series: series("var(--series-0)", "reproducible", false, (point) => `${whole(point.reproducible)} of ${whole(point.rank)} features come back`,
        (point) => least(point.reproducible_features), (point) => largest(point.reproducible_features)),
      chosen, digits: 0, from: 0, diagonal: true, legend: [names(), shown()],
    }),
    plot({
      name: "Features that a token uses",
      about: "How many features are active on a token. Fewer are easier to read.",
      series: series("var(--series-0)", "active", false, (point) => `${three(point.active)} features active on a token`),
      chosen, digits: 0, from: 0, legend: [names(), shown()],
    }));
}

// The reports, or else the first folder.
function fitLinks({ fits }) {
  const reports = fits.filter((fit) => fit.report);
  const others = fits.length - 1;
  return [
    reports.map((fit, i) => [i > 0 && ", ", h("a", { href: fit.report.split("/").map(encodeURIComponent).join("/") }, `report of seed ${fit.seed}`)]),
    reports.length === 0 && fits.length > 0 && [isolated(fits[0].folder), others > 0 && ` and ${count(others, "other seed")}`],
  ];
}

function drawTable(layer, number) {
  const hasFits = layer.points.some((point) => point.fits.length > 0);
  const columns = [
    ["neurons", (point) => whole(point.kept)], ["error", (point) => fixed4(point.error)], ["held out", (point) => fixed4(point.held_out)],
    ["stability", (point) => fixed3(point.stability)], ["come back", (point) => whole(point.reproducible)],
    ["duplicates", (point) => three(point.duplicates)], ["dead", (point) => three(point.dead)], ["active", (point) => three(point.active)],
    ["iterations", (point) => whole(point.iterations)], ["seconds", (point) => three(point.seconds)],
  ];
  return h("div", { class: "points", tabindex: "0", role: "region", "aria-label": "All points" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", {}, "features"), columns.map(([name]) => h("th", {}, name)), hasFits && h("th", { class: "fits" }, "fits"))),
    h("tbody", {}, layer.points.map((point) =>
      h("tr", { id: rowId(number, point), class: point.recommended && "is-chosen" },
        h("td", {}, `K = ${whole(point.rank)}`, point.recommended && " · recommended"),
        columns.map(([name, value]) => h("td", { "data-name": name }, value(point))),
        hasFits && h("td", { class: "fits" }, fitLinks(point)))))));
}

function drawLayer(layer, number) {
  const chosen = layer.points.find((point) => point.recommended);
  const claim = chosen
    ? [h("strong", {}, `${whole(chosen.rank)} features`), ` of ${whole(chosen.kept)} neurons each`]
    : [layer.points.length > 0 ? "Nothing to recommend: no token uses any feature" : "Nothing is measured yet"];
  return h("section", { class: "layer", id: layerId(number) },
    several && h("p", { class: "about" }, isolated(layer.name), `, ${whole(layer.tokens)} tokens × ${whole(layer.neurons)} neurons`),
    h("h2", {}, claim),
    layer.recommendation && h("p", { class: "lead" }, layer.recommendation.reason),
    !layer.complete && h("p", { class: "unfinished" }, "This sweep is not finished. The same command goes on with it."),
    layer.points.length > 0 && [drawPlots(layer, number), drawTable(layer, number)]);
}

at("title").append(isolated(sweep.title), several ? "" : `, ${whole(sweep.layers[0].tokens)} tokens × ${whole(sweep.layers[0].neurons)} neurons`);
at("layers").hidden = !several;
at("layers").append(...sweep.layers.map((layer, number) => h("a", { href: "#" + layerId(number) }, isolated(layer.name))));
at("main").append(...sweep.layers.map(drawLayer));
at("about").append(
  h("ul", { class: "meanings" }, MEANINGS.map(([name, text]) => h("li", {}, h("b", {}, name), ": ", text))),
  h("details", {}, h("summary", {}, "Settings"), h("dl", {},
    h("dt", {}, "unmix"), h("dd", {}, isolated(sweep.version)),
    h("dt", {}, "command"), h("dd", {}, h("code", {}, isolated(sweep.command_line.join(" ")))),
    Object.entries(sweep.settings).map(([name, value]) => [h("dt", {}, isolated(name.replaceAll("_", " "))), h("dd", {}, isolated(String(value)))]))));
at("theme").addEventListener("click", toggleTheme);
