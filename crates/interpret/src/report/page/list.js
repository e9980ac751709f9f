// The list of features: sorted, searched, walked through by keys.

const ORDERS = {
  share: { name: "explained share", value: (f) => f.explained_share, text: (f) => percent(f.explained_share) },
  active: { name: "active share", value: (f) => f.active_share, text: (f) => percent(f.active_share) },
  concept: { name: "concept", value: (f) => bestConcept(f)?.auc ?? null, text: (f) => fixed2(bestConcept(f)?.auc) },
  number: { name: "number", text: (f) => percent(f.explained_share), compare: (a, b) => a.number - b.number },
  name: { name: "name", text: (f) => percent(f.explained_share), compare: (a, b) => nameText(a).localeCompare(nameText(b), "en", { sensitivity: "base" }) || a.number - b.number },
};
if (!features.some(bestConcept)) delete ORDERS.concept;

let order = "share";
let matches = () => true;
// The features that are listed, in their order.
let listed = [];

// A row is made once; afterwards only its figure changes.
const rows = new Map(
  features.map((feature) => {
    const figure = h("span", { class: "row-figure" });
    const bar = h("i", {});
    const best = bestConcept(feature);
    const promoted = feature.promoted.map((entry) => entry.text).filter((text) => text.trim().length > 0).slice(0, 3);
    const about = [
      feature.notes.length > 0 && h("span", { class: "warn" }, "⚠ ", isolated(feature.notes[0])),
      dead.has(feature.number) && h("span", { class: "warn" }, "no token uses it"),
      best && h("span", { class: "badge" }, isolated(best.concept), ` ${fixed2(best.auc)} (${count(best.prompts, "prompt")})`),
      promoted.length > 0 && (feature.label || feature.words.length > 0) && h("span", {}, "says ", apart(promoted.map((text) => text.trim()))),
    ].filter(Boolean);
    const link = h("a", { class: "row", href: "#feature-" + feature.number },
      h("span", { class: "number" }, "#" + feature.number),
      h("span", { class: "row-name" }, nameNodes(feature)),
      figure,
      about.length > 0 && h("span", { class: "row-about" }, about),
      h("span", { class: "meter", "aria-hidden": "true" }, bar));
    return [feature, { item: h("li", {}, link), link, figure, bar }];
  }),
);

function sorted() {
  const { compare, value } = ORDERS[order];
  const number = (feature) => (isNumber(value(feature)) ? value(feature) : -Infinity);
  const byValue = (a, b) => (number(a) === number(b) ? a.number - b.number : number(b) - number(a));
  return [...features].sort(compare ?? byValue);
}

function updateList() {
  const { value = ORDERS.share.value, text } = ORDERS[order];
  const most = Math.max(0, ...features.map((feature) => value(feature)).filter(isNumber));
  listed = sorted().filter(matches);
  for (const feature of listed) {
    const row = rows.get(feature);
    row.figure.textContent = text(feature);
    const part = isNumber(value(feature)) && most > 0 ? Math.max(0, value(feature) / most) : 0;
    row.bar.style.setProperty("--part", part.toFixed(4));
  }
  at("list").replaceChildren(...listed.map((feature) => rows.get(feature).item));
  const query = at("search").value.trim();
  at("search-count").textContent = query ? `${whole(listed.length)} of ${count(features.length, "feature")}` : count(features.length, "feature");
  at("no-match").hidden = listed.length > 0;
  at("no-match").replaceChildren(
    ...(query
      ? ["No feature has ", h("bdi", { class: "query" }, plain(query)), ". ", h("button", { type: "button", class: "quiet", click: () => search("") }, "Show all")]
      : ["This fit has no features."]),
  );
}

function search(query) {
  at("search").value = query;
  matches = matcher(query);
  updateList();
  dimMap();
  const { view } = route();
  if (query && (["tree", "concepts", "health"].includes(view) || (isNarrow() && view === "feature"))) location.hash = "";
}

function sortBy(name) {
  order = name;
  updateList();
}

// Brings a row into the pane's sight without moving the page.
function reveal(feature) {
  const [pane, { link }] = [at("list-pane"), rows.get(feature)];
  const [frame, box, head] = [pane.getBoundingClientRect(), link.getBoundingClientRect(), 40];
  if (box.height === 0 || pane.scrollHeight <= pane.clientHeight) return;
  if (box.top < frame.top + head) pane.scrollTop -= frame.top + head - box.top;
  else if (box.bottom > frame.bottom) pane.scrollTop += box.bottom - frame.bottom;
}

// Marks the open feature and moves on from it.
function markOpen(feature) {
  for (const [other, { link }] of rows) {
    if (other === feature) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function step(by) {
  const { view, feature } = route();
  if (listed.length === 0 || !["list", "feature"].includes(view)) return;
  const focused = listed.findIndex((candidate) => rows.get(candidate).link === document.activeElement);
  const current = view === "feature" ? listed.indexOf(feature) : focused;
  const next = listed[Math.min(listed.length - 1, Math.max(0, current + by))];
  if (view === "feature") {
    // One step back leads out of the walk, not through it.
    history.replaceState(null, "", "#feature-" + next.number);
    showRoute();
  } else {
    rows.get(next).link.focus();
    rows.get(next).link.scrollIntoView({ block: "nearest" });
  }
}
