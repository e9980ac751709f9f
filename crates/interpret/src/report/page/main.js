// Which part is shown, by the address; keys; light and dark.

const TABS = [
  ["list", "", "Features", true],
  ["map", "#map", "Map", features.some((feature) => feature.position?.every(isNumber))],
  ["tree", "#tree", "Tree", report.tree.length > 0],
  ["concepts", "#concepts", "Concepts", report.concepts.length > 0],
  ["beside", "#beside", "Beside", report.beside !== null],
  ["health", "#health", "Health", report.health.length > 0],
  ["kept", "#kept", "Notes", features.length > 0],
].filter((tab) => tab[3]);
const DRAW = { map: drawMap, tree: drawTree, concepts: drawConcepts, beside: drawBeside, health: drawHealth, kept: drawKept };

function route() {
  const hash = location.hash;
  const feature = /^#feature-(\d+)$/.exec(hash);
  if (feature) {
    const found = byNumber.get(Number(feature[1]));
    return found ? { view: "feature", feature: found } : { view: "list", missing: feature[1] };
  }
  const node = /^#node-(\d+)-(\d+)$/.exec(hash);
  if (node && report.tree[node[1]]?.nodes[node[2]]) return { view: "tree", node: [Number(node[1]), Number(node[2])] };
  const view = hash.slice(1);
  return { view: TABS.some(([name]) => name === view) ? view : "list" };
}

let lastView = null;
let listPlace = null;

function showRoute() {
  const now = route();
  const inList = now.view === "list" || now.view === "feature";
  if (lastView === "list" && now.view !== "list") listPlace = placeInList();
  document.body.dataset.view = now.view;
  for (const [name] of TABS) if (name !== "list") at("view-" + name).hidden = name !== now.view;
  at("list-pane").hidden = at("detail").hidden = !inList;
  for (const link of at("tabs").children) {
    if (link.dataset.view === now.view || (link.dataset.view === "list" && now.view === "feature")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (inList) {
    const feature = now.feature ?? listed[0] ?? features[0];
    if (now.missing !== undefined) at("detail").replaceChildren(h("p", { class: "empty" }, `This report has no feature ${now.missing}.`));
    else if (feature) at("detail").replaceChildren(...featureDetail(feature).filter(Boolean));
    else at("detail").replaceChildren();
    at("detail").dataset.feature = feature?.number ?? "";
    markOpen(feature);
    if (now.feature) reveal(feature);
  } else {
    DRAW[now.view]();
  }
  document.title = (now.feature ? `#${now.feature.number} ${nameText(now.feature)} – ` : "") + plain(report.title);
  if (now.node) openNode(...now.node);
  else if (now.view === "list" && lastView !== null && isNarrow()) returnTo(listPlace);
  else window.scrollTo(0, Math.min(window.scrollY, at("top").offsetHeight));
  lastView = now.view;
}

const KEYS = [["/", "search"], ["j  k", "next, previous feature"], ["←  →", "next, previous token of a text, with its coefficient"], ["Enter", "open the feature"], ["Esc", "back"], ["t", "light or dark"], ["?", "this list"]];
const FINDS = [["sept", "in words, promoted tokens, concepts, notes on the fit and your own notes"], ["#12", "the feature of that number"], ["neuron:345", "features that use a neuron"]];

function showKeys() {
  const table = (entries) => h("dl", { class: "keys" }, entries.map(([key, text]) => h("div", {}, h("dt", {}, key.split("  ").map((k) => h("kbd", {}, k))), h("dd", {}, text))));
  at("keys").replaceChildren(
    h("h2", { id: "keys-title" }, "Keys"), table(KEYS), h("h2", {}, "Search"), table(FINDS), h("h2", {}, "Figures"),
    h("ul", { class: "meanings" }, ["reproducibility", "clarity", "share", "energy", "active", "maximum", "norm"].map((key) => h("li", {}, MEANING[key]))),
    h("button", { type: "button", click: () => at("keys").close() }, "Close"));
  at("keys").showModal();
}

function goBack() {
  const { view, feature } = route();
  if (view === "list") return;
  location.hash = "";
  if (feature) rows.get(feature).link.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
  if (event.target === at("search")) {
    if (event.key === "Escape") {
      if (at("search").value) search("");
      else at("search").blur();
      event.preventDefault();
    } else if (event.key === "Enter" && listed.length > 0 && ["list", "feature"].includes(route().view)) {
      location.hash = "#feature-" + listed[0].number;
      at("search").blur();
    }
    return;
  }
  if (event.target.matches("input, select, textarea")) return;
  const actions = { "/": () => (at("search").focus(), at("search").select()), j: () => step(1), k: () => step(-1), Escape: goBack, "?": showKeys, t: toggleTheme };
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
});

at("tabs").append(...TABS.map(([name, hash, title]) => h("a", { href: hash || "#", "data-view": name }, title)));
at("sort").append(...Object.entries(ORDERS).map(([name, { name: text }]) => h("option", { value: name }, text)));
at("sort").addEventListener("change", (event) => sortBy(event.target.value));
at("show").addEventListener("change", (event) => show(event.target.value));
at("search").addEventListener("input", (event) => search(event.target.value));
at("theme").addEventListener("click", toggleTheme);
at("help").addEventListener("click", showKeys);
window.addEventListener("hashchange", () => {
  showRoute();
  // Whoever opened a feature goes on reading there.
  if (route().feature) at("detail").querySelector("h2").focus({ preventScroll: true });
});
loadKept();
drawHeadline();
drawRun();
drawShown();
updateList();
for (const feature of features) markKept(feature);
showRoute();
