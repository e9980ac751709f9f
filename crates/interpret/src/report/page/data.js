// The report and what is looked up in it.

const report = JSON.parse(at("data").textContent);
const features = report.features;
const byNumber = new Map(features.map((feature) => [feature.number, feature]));
const dead = new Set(report.run.dead_features);

// Whether other runs do not find a feature again.
const isDoubtful = ({ reproducibility }) => isNumber(reproducibility) && reproducibility < report.reproducible_from;

const wordsOf = (thing) => thing.words.map((entry) => entry.word.trim()).filter((word) => word.length > 0);

// The texts that name a feature, each isolated from the others on the page.
function nameParts(feature) {
  if (feature.label) return [feature.label];
  const words = wordsOf(feature).slice(0, 4);
  if (words.length > 0) return words;
  const promoted = feature.promoted.map((entry) => entry.text.trim()).filter((text) => text.length > 0).slice(0, 3);
  return promoted.length > 0 ? promoted : [dead.has(feature.number) ? "unused" : `Feature ${feature.number}`];
}

const nameText = (feature) => nameParts(feature).map(plain).join(", ");
const apart = (parts) => parts.flatMap((part, i) => (i > 0 ? [h("span", { class: "comma" }, ", "), isolated(part)] : [isolated(part)]));
const nameNodes = (feature) => apart(nameParts(feature));

// The concept that stands beside a feature's name: beyond chance, and what its own contexts are about.
const bestConcept = (feature) => feature.concepts.find((entry) => entry.names);

// A word in quotation marks, unless its name has them. A subject has none.
const quoted = (found, { subject }) => (found === subject || found.what.includes("“") ? isolated(found.what) : ["“", isolated(found.what), "”"]);

// The one of the two agreements that more contexts have.
function mainAgreement(interpretability) {
  const { subject, word } = interpretability ?? {};
  return subject && word ? (word.contexts > subject.contexts ? word : subject) : subject ?? word ?? null;
}

// What the strongest contexts have in common, in a few words.
function evidence(interpretability) {
  const found = mainAgreement(interpretability);
  if (!found) return null;
  const many = `${whole(found.contexts)} of ${whole(found.of)} `;
  return h("span", {}, many, found === interpretability.subject ? "about " : "at ", quoted(found, interpretability));
}

// The AUC that shuffled labels give for a concept, on the mean. Where it was not measured it is a half, by definition.
const chances = new Map(report.concepts.map((row) => [row.concept, row.chance?.[0]]));
const chanceOf = (concept) => chances.get(concept) ?? 0.5;

function featureLink(number, ...after) {
  const feature = byNumber.get(number);
  const label = h("span", { class: "number" }, "#" + number);
  if (!feature) return h("span", { class: "chip plain" }, label, after);
  return h("a", { class: "chip", href: "#feature-" + number }, label, h("span", { class: "chip-name" }, nameNodes(feature)), after);
}

// What each feature is found by. Built once.
const searchTexts = new Map(
  features.map((feature) => [
    feature,
    [
      feature.label ?? "",
      ...feature.words.map((entry) => entry.word),
      ...feature.promoted.map((entry) => entry.text),
      ...feature.concepts.map((entry) => entry.concept),
      ...feature.notes,
      feature.interpretability?.subject?.what ?? "",
    ]
      .join("\n")
      .toLowerCase(),
  ]),
);
const neuronsOf = new Map(features.map((feature) => [feature, new Set(feature.neurons.map((entry) => entry.neuron))]));

// Whether a feature has everything that is asked for.
function matcher(query) {
  const terms = query.toLowerCase().split(/\s+/).filter((term) => term.length > 0);
  return (feature) =>
    terms.every((term) => {
      const number = /^#(\d+)$/.exec(term);
      if (number) return feature.number === Number(number[1]);
      const neuron = /^neuron:(\d+)$/.exec(term);
      if (neuron) return neuronsOf.get(feature).has(Number(neuron[1]));
      return searchTexts.get(feature).includes(term);
    });
}

// Names of levels and nodes of the tree.
const levelName = (level) => report.tree[level].name ?? `Level ${level + 1}`;

function nodeParts(level, index) {
  const node = report.tree[level].nodes[index];
  if (node.label) return [node.label];
  const words = wordsOf(node).slice(0, 4);
  if (words.length > 0) return words;
  const child = node.children[0];
  if (!child) return [`Group ${index}`];
  if (level > 0) return report.tree[level - 1].nodes[child.child] ? nodeParts(level - 1, child.child) : [`Group ${index}`];
  const feature = byNumber.get(child.child);
  return feature ? nameParts(feature) : [`Group ${index}`];
}

// parents[level] maps a child to the nodes of that level that it belongs to, strongest first.
const parents = report.tree.map((level) => {
  const map = new Map();
  level.nodes.forEach((node, index) =>
    node.children.forEach(({ child, strength }) => map.set(child, [...(map.get(child) ?? []), { index, strength }])),
  );
  for (const list of map.values()) list.sort((a, b) => b.strength - a.strength);
  return map;
});

// A feature's strongest nodes at every level: strengths multiply along the way.
function placesOf(number) {
  let below = new Map([[number, 1]]);
  return report.tree.map((_, level) => {
    const found = new Map();
    for (const [child, weight] of below)
      for (const { index, strength } of parents[level].get(child) ?? [])
        found.set(index, Math.max(found.get(index) ?? 0, weight * strength));
    below = found;
    return [...found].filter(([index]) => report.tree[level].nodes[index].coheres).map(([index, strength]) => ({ index, strength })).sort((a, b) => b.strength - a.strength).slice(0, 3);
  });
}

// Colours of groups: hues far apart from one another, lighter on the dark background.
function groupColour(group) {
  if (group === null || group === undefined)
    return report.groups.length > 0 ? "color-mix(in srgb, var(--soft) 55%, var(--panel))" : "var(--accent)";
  const hue = (25 + group * 137.5) % 360;
  return `light-dark(oklch(0.6 0.17 ${hue}), oklch(0.74 0.14 ${hue}))`;
}
