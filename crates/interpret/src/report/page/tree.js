// The tree: how features merge into broader ones, as far as these cohere.

// What a level shows of a node: itself if it coheres, and otherwise what is below it.
function shownNodes(level, index, strength) {
  const node = report.tree[level].nodes[index];
  if (!node) return [];
  if (node.coheres) return [{ level, index, strength }];
  if (level === 0) return node.children.map(({ child, strength }) => ({ level: -1, index: child, strength }));
  return node.children.flatMap(({ child, strength }) => shownNodes(level - 1, child, strength));
}

// Each node or feature once, where it is strongest.
function once(nodes) {
  const found = new Map();
  for (const node of nodes) {
    const key = `${node.level}-${node.index}`;
    if (!(found.get(key)?.strength >= node.strength)) found.set(key, node);
  }
  return [...found.values()];
}

const leaf = (number, strength) => h("span", { class: "leaf" },
  isNumber(strength) && [meter(strength, 1), h("span", { class: "figure" }, fixed2(strength))], featureLink(number));

// A node of the tree; what is in it is made when it is opened.
function treeNode({ level, index, strength }) {
  if (level < 0) return leaf(index, strength);
  const node = report.tree[level].nodes[index];
  const body = h("div", { class: "node-body" });
  const below = once(node.children.flatMap(({ child, strength }) =>
    level > 0 ? shownNodes(level - 1, child, strength) : [{ level: -1, index: child, strength }]));
  const groups = below.filter((entry) => entry.level >= 0).length;
  const size = [groups > 0 && count(groups, "group"), below.length > groups && count(below.length - groups, "feature")].filter(Boolean).join(", ");
  const fill = () => {
    if (body.childElementCount > 0) return;
    put(body,
      node.contexts.length > 0 && h("details", { class: "node-contexts" }, h("summary", {}, count(node.contexts.length, "context")), contextList(node.contexts, NaN)),
      h("ul", {}, below.map((entry) => h("li", {}, treeNode(entry)))));
  };
  return h("details", { class: "node", "data-node": `${level}-${index}`, toggle: (event) => event.target.open && fill() },
    h("summary", {}, h("span", { class: "node-name" }, apart(nodeParts(level, index))),
      h("span", { class: "about" }, [evidence(node.interpretability), size].filter(Boolean).flatMap((part, i) => (i > 0 ? [" · ", part] : [part])))),
    body);
}

function drawTree() {
  if (at("view-tree").childElementCount > 0) return;
  const top = report.tree.length - 1;
  const roots = once(report.tree[top].nodes.flatMap((_, index) => shownNodes(top, index, NaN)));
  const groups = roots.filter((entry) => entry.level >= 0).sort((a, b) => b.level - a.level);
  const all = report.tree.flatMap((level) => level.nodes);
  const coherent = all.filter((node) => node.coheres).length;
  const inGroups = new Set();
  const collect = (level, index) => report.tree[level].nodes[index].children.forEach(({ child }) => (level > 0 ? collect(level - 1, child) : inGroups.add(child)));
  groups.forEach(({ level, index }) => collect(level, index));
  const others = features.filter((feature) => !inGroups.has(feature.number));
  put(at("view-tree"),
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Tree"),
      h("p", { class: "about" }, `How features merge into broader ones. A feature may belong to several. A group is shown only if half or more of its strongest contexts agree on a subject or a word, beyond chance: ${whole(coherent)} of ${count(all.length, "group")}. In place of the others stands what is in them.`)),
    groups.length > 0 && h("ul", { class: "tree-top" }, groups.map((entry) => h("li", {}, treeNode(entry)))),
    others.length > 0 && h("details", { class: "node tree-top" }, h("summary", {}, h("span", { class: "node-name" }, "In no group"), h("span", { class: "about" }, count(others.length, "feature"))),
      h("div", { class: "node-body" }, h("ul", { class: "links" }, others.map((feature) => h("li", {}, featureLink(feature.number)))))));
}

// Opens a node and those above it that are shown.
function openNode(level, index) {
  const chain = [[level, index]];
  for (let above = level + 1; above < report.tree.length; above++) {
    const parent = parents[above].get(chain[0][1])?.[0];
    if (!parent) break;
    chain.unshift([above, parent.index]);
  }
  let place = at("view-tree");
  for (const [nodeLevel, node] of chain) {
    const found = place.querySelector(`[data-node="${nodeLevel}-${node}"]`);
    if (!found) continue;
    found.open = true;
    found.dispatchEvent(new Event("toggle"));
    place = found;
  }
  place.scrollIntoView({ block: "start" });
  place.querySelector("summary")?.focus({ preventScroll: true });
}
