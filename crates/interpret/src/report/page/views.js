// The run, the tree, the concepts and the health of the fit.

const warnings = report.health.filter((note) => note.level === "warning");

function drawHeadline() {
  const { run } = report;
  const part = isNumber(run.relative_error) ? [h("strong", {}, percent(1 - run.relative_error)), " of the activations explained"] : [];
  at("headline").append(
    h("h1", {}, isolated(report.title)),
    h("p", { class: "claim" }, h("strong", {}, count(features.length, "feature")), ` of ${count(run.neurons, "neuron")}`, part.length > 0 && ", ", part),
    h("p", { class: "lead" }, "A feature is a small group of neurons that act together. What it stands for is read off the texts in which it is strongest: the more a word is marked, the stronger the feature there."),
    warnings.length > 0 && h("p", { class: "warnings" }, h("a", { href: "#health" }, "⚠ ", count(warnings.length, "warning")), ": ", isolated(warnings.map((note) => note.text).join("; "))));
}

function drawRun() {
  const { run } = report;
  const fact = (name, value) => value !== null && value !== "" && h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const curve = lossChart(run.loss_curve, run.best_iteration);
  at("run-body").append(h("div", { class: "run-grid" },
    h("dl", { class: "run-facts" },
      fact("data", run.data !== null && isolated(run.data)),
      fact("size", `${whole(run.tokens)} tokens × ${whole(run.neurons)} neurons${run.dtype ? ", " : ""}${plain(run.dtype)}`),
      run.options.map(([name, value]) => fact(isolated(name), isolated(value))),
      fact("relative error", fixed4(run.relative_error)),
      fact("method", "semi-nonnegative matrix factorization (Shafran, Geiger and Geva, ACL 2026)"),
      fact("engine", isolated([run.engine, run.adapter].filter(Boolean).join(", "))),
      fact("stopped", run.stop_reason && [isolated(run.stop_reason), run.loss_curve.length > 0 && ` after ${count(run.loss_curve.length, "iteration")}`, `, ${three(run.seconds)} s`]),
      fact("features without a token", dead.size > 0 ? run.dead_features.map((number) => featureLink(number)) : "none"),
      fact("unmix", [isolated(run.version), run.date !== null && [", ", isolated(run.date)]])),
    curve && h("figure", {}, curve, h("figcaption", {}, "Relative error after each iteration, less is better"))));
}

// A node of the tree; what is in it is made when it is opened.
function treeNode(level, index, strength) {
  const node = report.tree[level].nodes[index];
  const body = h("div", { class: "node-body" });
  const size = level === 0 ? count(node.children.length, "feature") : count(node.children.length, "group");
  const fill = () => {
    if (body.childElementCount > 0) return;
    const below = level > 0 ? report.tree[level - 1].nodes : null;
    body.append(
      node.contexts.length > 0 ? h("details", { class: "node-contexts" }, h("summary", {}, count(node.contexts.length, "context")), contextList(node.contexts, NaN)) : "",
      h("ul", {}, node.children.map((entry) => h("li", {}, below
        ? below[entry.child] && treeNode(level - 1, entry.child, entry.strength)
        : h("span", { class: "leaf" }, meter(entry.strength, 1), h("span", { class: "figure" }, fixed2(entry.strength)), featureLink(entry.child))))));
  };
  return h("details", { class: "node", "data-node": `${level}-${index}`, toggle: (event) => event.target.open && fill() },
    h("summary", {}, h("span", { class: "node-name" }, apart(nodeParts(level, index))),
      h("span", { class: "about" }, size, isNumber(strength) && [", strength ", fixed2(strength)])),
    body);
}

function drawTree() {
  if (at("view-tree").childElementCount > 0) return;
  const top = report.tree.length - 1;
  const placed = new Set(report.tree[0].nodes.flatMap((node) => node.children.map((entry) => entry.child)));
  const others = features.filter((feature) => !placed.has(feature.number));
  at("view-tree").append(
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Tree"),
      h("p", { class: "about" }, "How features merge into broader ones. A feature may belong to several.")),
    h("ul", { class: "tree-top" }, report.tree[top].nodes.map((_, index) => h("li", {}, treeNode(top, index)))),
    others.length > 0 ? h("details", { class: "node" }, h("summary", {}, h("span", { class: "node-name" }, "In no group"), h("span", { class: "about" }, count(others.length, "feature"))),
      h("div", { class: "node-body" }, h("ul", { class: "links" }, others.map((feature) => h("li", {}, featureLink(feature.number)))))) : "");
}

// Opens a node and those above it.
function openNode(level, index) {
  const chain = [index];
  for (let above = level + 1; above < report.tree.length; above++) {
    const parent = parents[above].get(chain[0])?.[0];
    if (!parent) break;
    chain.unshift(parent.index);
  }
  let place = at("view-tree");
  chain.forEach((node, i) => {
    const found = place?.querySelector(`[data-node="${level + chain.length - 1 - i}-${node}"]`);
    if (!found) return;
    found.open = true;
    found.dispatchEvent(new Event("toggle"));
    place = found;
  });
  place.scrollIntoView({ block: "start" });
  place.querySelector("summary")?.focus({ preventScroll: true });
}

const CONCEPT_COLUMNS = [
  { key: "concept", name: "concept", text: true, value: (row) => [row.parent ?? "", row.concept].join("\n"), cell: (row) => [row.parent !== null && h("span", { class: "about" }, isolated(row.parent), " › "), isolated(row.concept)] },
  { key: "prompts", name: "prompts", value: (row) => row.prompts, cell: (row) => whole(row.prompts) },
  { key: "auc", name: explained("auc", "AUC"), value: (row) => row.auc, cell: (row) => [meter(row.auc === null ? null : 2 * row.auc - 1, 1), fixed3(row.auc)] },
  { key: "p_value", name: explained("chance", "p"), value: (row) => row.p_value, cell: (row) => fixed3(row.p_value) },
  { key: "diff_means_auc", name: explained("diff", "diff. of means"), value: (row) => row.diff_means_auc, cell: (row) => fixed3(row.diff_means_auc) },
  { key: "score", name: explained("score", "S_CD"), value: (row) => row.score, cell: (row) => signed(row.score) },
  { key: "feature", name: "best feature", text: true, value: (row) => (row.feature === null ? "" : String(row.feature).padStart(8, "0")), cell: (row) => (row.feature === null ? "–" : featureLink(row.feature)) },
];
let conceptOrder = { key: "auc", down: true };

function drawConcepts(again) {
  if (at("view-concepts").childElementCount > 0 && !again) return;
  const columns = CONCEPT_COLUMNS.filter(({ key, text }) => text || report.concepts.some((row) => isNumber(row[key])));
  const by = columns.find(({ key }) => key === conceptOrder.key) ?? columns[0];
  const compare = by.text ? (a, b) => by.value(a).localeCompare(by.value(b), "en") : (a, b) => (by.value(a) ?? -Infinity) - (by.value(b) ?? -Infinity) || 0;
  const ordered = [...report.concepts].sort(compare);
  if (conceptOrder.down) ordered.reverse();
  const head = columns.map((column) => {
    const isBy = column === by;
    const change = () => {
      conceptOrder = { key: column.key, down: isBy ? !conceptOrder.down : !column.text };
      drawConcepts(true);
      at("view-concepts").querySelector(`[data-column="${column.key}"]`).focus();
    };
    return h("th", { scope: "col", class: column.text ? "" : "right", "aria-sort": isBy ? (conceptOrder.down ? "descending" : "ascending") : "none" },
      h("button", { type: "button", class: "sorter", "data-column": column.key, click: change }, column.name, h("span", { "aria-hidden": "true" }, isBy ? (conceptOrder.down ? " ↓" : " ↑") : "")));
  });
  at("view-concepts").replaceChildren(
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Concepts"), h("p", { class: "about" }, "For each concept the feature that detects it best, chosen on half of the prompts and scored on the other. Grey rows are not beyond chance.")),
    h("div", { class: "scroll" }, h("table", { class: "concepts" }, h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, ordered.map((row) => h("tr", { class: row.detected ? "" : "aside" }, columns.map((column) => h("td", { class: column.text ? "" : "right", "data-name": column.key }, column.cell(row)))))))));
}

function drawHealth() {
  if (at("view-health").childElementCount > 0) return;
  const marks = { good: ["✓", "good"], note: ["i", "note"], warning: ["!", "warning"] };
  at("view-health").append(
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Health"), h("p", { class: "about" }, "What should be known before the features are trusted.")),
    h("ul", { class: "health" }, report.health.map((note) => {
      const [mark, word] = marks[note.level];
      const few = note.features.slice(0, 12), rest = note.features.slice(12);
      const links = (numbers) => h("span", { class: "health-links" }, numbers.map((number) => featureLink(number)));
      return h("li", { class: "health-" + note.level }, h("span", { class: "mark", role: "img", "aria-label": word }, mark),
        h("div", {}, h("p", {}, isolated(note.text)), note.advice && h("p", { class: "about" }, isolated(note.advice)), few.length > 0 && links(few),
          rest.length > 0 && h("details", { class: "more" }, h("summary", {}, `${count(rest.length, "more feature")}`), links(rest))));
    })));
}
