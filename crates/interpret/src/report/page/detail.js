// Everything about one feature.

const section = (title, className, ...content) => h("section", { class: "part " + className }, h("h3", {}, title), content);

function facts(feature) {
  const fact = (name, value, key) => h("div", {}, h("dt", {}, explained(key, name)), h("dd", {}, value));
  const { reproducibility, found_in: found, interpretability } = feature;
  return h("dl", { class: "facts" },
    isNumber(reproducibility) && fact("reproducibility", fixed2(reproducibility), "reproducibility"),
    isNumber(found) && isNumber(report.run.runs) && fact("found in", `${whole(found)} of ${count(report.run.runs, "run")}`, "found"),
    mainAgreement(interpretability) && fact("contexts agree", `${whole(mainAgreement(interpretability).contexts)} of ${whole(mainAgreement(interpretability).of)}`, "clarity"),
    fact("explained share", percent(feature.explained_share), "share"),
    fact("active at", percent(feature.active_share), "active"),
    fact("maximum", small(feature.max_coefficient), "maximum"));
}

// What the strongest contexts have in common, in sentences.
function agreements({ interpretability, contexts }) {
  if (!interpretability || contexts.length === 0) return null;
  const { subject, word } = interpretability;
  const sentence = (found, before) => found && h("li", {}, `${whole(found.contexts)} of ${whole(found.of)} contexts ${before} `, quoted(found, interpretability), " (",
    explained("agreement", `chance ${whole(found.chance * found.of)}, p ${fixed3(found.p_value)}`), ")");
  if (!subject && !word) return h("p", { class: "agreement about" }, "Its strongest contexts agree on no subject and no word ", explained("agreement", "beyond chance"), ".");
  return h("ul", { class: "agreement" }, sentence(subject, "are about"), sentence(word, "are strongest at"));
}

// The strongest contexts, the first of them at once.
function contextsPart(feature) {
  if (feature.contexts.length === 0)
    return section("Contexts", "wide", h("p", { class: "empty" }, dead.has(feature.number) ? "No token uses this feature." : "This report has no texts."));
  const [first, rest] = [feature.contexts.slice(0, 10), feature.contexts.slice(10)];
  const list = (contexts) => contextList(contexts, feature.max_coefficient);
  return section(h("span", {}, "Where it is strongest"), "wide", strengthLegend(), agreements(feature), list(first),
    rest.length > 0 && h("details", { class: "more" }, h("summary", {}, count(rest.length, "more context")), list(rest)));
}

function bandsPart(feature) {
  if (feature.bands.length === 0) return null;
  return section("Over its whole range", "wide",
    h("p", { class: "about" }, "Contexts from each part of the feature's strengths, spread evenly over the tokens there."), bandList(feature));
}

function distribution({ histogram, quantiles, energy_share: energy, norm }) {
  if (!(histogram && histogram.counts.length > 0 && histogram.edges.length === histogram.counts.length + 1) && quantiles.length === 0) return null;
  const name = (probability) => (probability === 0.5 ? "median" : `${three(probability * 100)}%`);
  return section("Coefficients", "narrow",
    h("p", { class: "about" }, "of the tokens that use it; heights are logarithmic"),
    histogram && histogram.counts.length > 0 && histogramChart(histogram),
    quantiles.length > 0 && h("dl", { class: "quantiles" }, quantiles.map(({ probability, value }) => h("div", {}, h("dt", {}, name(probability)), h("dd", {}, small(value))))),
    h("p", { class: "about" }, explained("energy", "energy share"), ` ${percent(energy)}, `, explained("norm", "norm"), ` ${three(norm)}`));
}

function logits({ promoted, suppressed }) {
  if (!report.lens_chance && promoted.length + suppressed.length === 0) return null;
  const title = explained("logit", "Output tokens beyond chance");
  if (promoted.length + suppressed.length === 0)
    return section(title, "narrow", h("p", { class: "about" }, "None: random directions raise and lower some tokens as much."));
  const most = Math.max(...[...promoted, ...suppressed].map((entry) => Math.abs(entry.logit)).filter(isNumber), 0);
  const column = (title, entries) =>
    entries.length > 0 && h("div", {}, h("h4", {}, title), h("ul", { class: "bars" }, entries.map(({ text, logit }) =>
      h("li", {}, token(text), signedMeter(logit, most), h("span", { class: "figure" }, signed(logit))))));
  return section(title, "narrow pair",
    h("p", { class: "about" }, "By the output weights alone, more than random directions do."),
    column("Raised", promoted), column("Lowered", suppressed));
}

function conceptsPart({ concepts, contexts }) {
  if (report.concepts.length === 0) return null;
  if (concepts.length === 0) {
    const isTold = report.concepts.some((row) => isNumber(row.p_value));
    return section("Concepts", "narrow", h("p", { class: "about" }, isTold ? ["None is detected beyond ", explained("p", "chance"), "."] : "No score was compared with chance."));
  }
  const labelled = contexts.filter((context) => context.prompt_label !== null).length;
  const support = (entry) => isNumber(entry.contexts) && [", ", explained("support", `${whole(entry.contexts)} of ${count(labelled, "context")}`)];
  const head = (key, text) => h("th", { scope: "col", class: "right" }, explained(key, text));
  return section("Concepts beyond chance", "narrow concept-part",
    !concepts.some((entry) => entry.names) && h("p", { class: "about" }, "No concept names this feature: the commonest label of its contexts is another."),
    h("table", { class: "small" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "concept"), head("auc", "AUC"), head("chance", "chance"), head("p", "p"))),
      h("tbody", {}, concepts.map((entry) => h("tr", { class: entry.names ? "" : "aside" },
        h("td", {}, isolated(entry.concept), h("div", { class: "about" }, explained("prompts", count(entry.prompts, "prompt")), support(entry))),
        h("td", { class: "right" }, fixed2(entry.auc)), h("td", { class: "right" }, fixed2(chanceOf(entry.concept))), h("td", { class: "right" }, fixed3(entry.p_value)))))));
}

function neuronsPart({ neurons }) {
  if (neurons.length === 0) return null;
  const most = Math.max(...neurons.map((entry) => Math.abs(entry.weight)).filter(isNumber), 0);
  const row = ({ neuron, weight }) => h("li", {},
    h("button", { type: "button", class: "quiet", "aria-label": `Find features that use neuron ${neuron}`, click: () => (search("neuron:" + neuron), at("search").focus()) }, String(neuron)),
    signedMeter(weight, most), h("span", { class: "figure" }, signed(weight)));
  const [first, rest] = [neurons.slice(0, 12), neurons.slice(12)];
  return section(explained("weight", "Neurons"), "narrow", h("ul", { class: "bars neurons" }, first.map(row)),
    rest.length > 0 && h("details", { class: "more" }, h("summary", {}, count(rest.length, "more neuron")), h("ul", { class: "bars neurons" }, rest.map(row))));
}

function relatedPart(title, key, entries, value) {
  if (entries.length === 0) return null;
  return section(explained(key, title), "narrow", h("ul", { class: "links" }, entries.map((entry) =>
    h("li", {}, featureLink(entry.feature), h("span", { class: value(entry) < 0 ? "figure negative" : "figure" }, signed(value(entry)))))));
}

function placePart({ number }) {
  const places = placesOf(number).map((nodes, level) => ({ nodes, level })).filter(({ nodes }) => nodes.length > 0);
  if (places.length === 0) return null;
  return section("Place in the tree", "narrow", h("ul", { class: "places" }, places.map(({ nodes, level }) => h("li", {},
    h("span", { class: "about" }, isolated(levelName(level))),
    nodes.map(({ index, strength }) => h("a", { class: "chip", href: `#node-${level}-${index}` },
      h("span", { class: "chip-name" }, apart(nodeParts(level, index))), h("span", { class: "figure" }, fixed2(strength))))))));
}

function featureDetail(feature) {
  const [before, after] = [-1, 1].map((by) => listed[listed.indexOf(feature) + by]);
  const turn = (other, text, label) => other && listed.includes(feature)
    ? h("a", { class: "quiet", href: "#feature-" + other.number, "aria-label": label }, text)
    : h("span", { class: "quiet off", "aria-hidden": "true" }, text);
  const group = report.groups[feature.group];
  return [
    h("div", { class: "detail-top" },
      h("a", { class: "back quiet", href: "#" }, "‹ All features"),
      h("span", { class: "number" }, "Feature " + feature.number),
      group !== undefined && h("a", { class: "group", href: "#map" }, h("i", { "--dot": groupColour(feature.group) }), isolated(group)),
      h("span", { class: "turns" }, turn(before, "‹", "Previous feature"), turn(after, "›", "Next feature"))),
    h("h2", { tabindex: "-1" }, nameNodes(feature)),
    feature.label && feature.words.length > 0 && h("p", { class: "words" }, apart(wordsOf(feature).slice(0, 8))),
    feature.notes.length > 0 && h("ul", { class: "notes" }, feature.notes.map((note) => h("li", {}, isolated(note)))),
    isDoubtful(feature) && h("p", { class: "doubt" }, `Other runs often do not find this feature again: its reproducibility is below ${three(report.reproducible_from)}. Do not build on it.`),
    facts(feature),
    keptPart(feature),
    h("div", { class: "parts" },
      h("div", { class: "column-main" }, contextsPart(feature), besidePart(feature), bandsPart(feature)),
      h("div", { class: "column-side" },
        logits(feature), conceptsPart(feature), distribution(feature),
        relatedPart("Similar features", "cosine", feature.neighbours, (entry) => entry.cosine),
        relatedPart("Active together with", "correlation", feature.co_active, (entry) => entry.correlation),
        placePart(feature), neuronsPart(feature))),
  ];
}
