// The list of features: sorted, filtered, searched, walked through by keys.

const clarity = (feature) => feature.interpretability?.score ?? null;
// How many contexts agree, as a fraction.
const agreeing = ({ interpretability }) => {
  const found = mainAgreement(interpretability);
  return found ? `${whole(found.contexts)}/${whole(found.of)}` : "–";
};

const ORDERS = {
  reading: { name: "trusted first", value: clarity, text: agreeing, compare: (a, b) => places.get(a) - places.get(b) },
  reproducibility: { name: "reproducibility", value: (f) => f.reproducibility, text: (f) => fixed2(f.reproducibility) },
  clarity: { name: "clarity", value: clarity, text: agreeing },
  share: { name: "explained share", value: (f) => f.explained_share, text: (f) => percent(f.explained_share) },
  active: { name: "active share", value: (f) => f.active_share, text: (f) => percent(f.active_share) },
  concept: { name: "concept", value: (f) => bestConcept(f)?.auc ?? null, text: (f) => fixed2(bestConcept(f)?.auc) },
  number: { name: "number", text: (f) => percent(f.explained_share), compare: (a, b) => a.number - b.number },
  name: { name: "name", text: (f) => percent(f.explained_share), compare: (a, b) => nameText(a).localeCompare(nameText(b), "en", { sensitivity: "base" }) || a.number - b.number },
};
// The report comes in the order in which its features should be read.
const places = new Map(features.map((feature, place) => [feature, place]));
if (!features.some(bestConcept)) delete ORDERS.concept;
if (!features.some((feature) => isNumber(feature.reproducibility))) {
  delete ORDERS.reproducibility;
  // Without it the clearest come first anyway.
  ORDERS.reading.name = "clarity";
  delete ORDERS.clarity;
}
if (!features.some((feature) => feature.interpretability)) {
  delete ORDERS.clarity;
  delete ORDERS.reading;
}

let order = Object.keys(ORDERS)[0];
let matches = () => true;
let isShown = () => true;
// The features that are listed, in their order.
let listed = [];

function aboutRow(feature) {
  const best = bestConcept(feature);
  const promoted = feature.promoted.map((entry) => entry.text).filter((text) => text.trim().length > 0).slice(0, 3);
  const agreement = evidence(feature.interpretability);
  const mark = isDoubtful(feature) && h("span", { class: "warn" }, "not found again", isNumber(feature.found_in) && isNumber(report.run.runs) && ` in ${whole(report.run.runs - feature.found_in)} of ${count(report.run.runs, "run")}`);
  const again = !isDoubtful(feature) && isNumber(feature.found_in) && isNumber(report.run.runs) && h("span", {}, `in ${whole(feature.found_in)} of ${count(report.run.runs, "run")}`);
  return [
    [agreement, dead.has(feature.number) && h("span", { class: "warn" }, "no token uses it")],
    [mark, again],
    [best && h("span", { class: "badge" }, best.concept !== feature.interpretability?.subject?.what && [isolated(best.concept), ": "], `AUC ${fixed2(best.auc)}, chance ${fixed2(chanceOf(best.concept))}, p ${fixed3(best.p_value)}`)],
    [feature.notes.length > 0 && h("span", {}, isolated(feature.notes[0]))],
    [promoted.length > 0 && (feature.label || feature.words.length > 0) && h("span", {}, "toward ", apart(promoted.map((text) => text.trim())))],
  ].map((line) => line.filter(Boolean)).filter((line) => line.length > 0).slice(0, mark || again ? 3 : 2).map((line) => h("span", { class: "row-about" }, line));
}

// A row is made once; afterwards only its figure changes.
const rows = new Map(
  features.map((feature) => {
    const figure = h("span", { class: "row-figure" });
    const bar = h("i", {});
    const mark = h("span", { class: "star" });
    const link = h("a", { class: "row", "data-doubtful": isDoubtful(feature), href: "#feature-" + feature.number },
      h("span", { class: "number" }, "#" + feature.number),
      h("span", { class: "row-name" }, nameNodes(feature), mark),
      figure,
      aboutRow(feature),
      h("span", { class: "meter", "aria-hidden": "true" }, bar));
    return [feature, { item: h("li", {}, link), link, figure, bar, mark }];
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
  listed = sorted().filter(matches).filter(isShown);
  for (const feature of listed) {
    const row = rows.get(feature);
    row.figure.textContent = text(feature);
    const part = isNumber(value(feature)) && most > 0 ? Math.max(0, value(feature) / most) : 0;
    row.bar.style.setProperty("--part", part.toFixed(4));
  }
  at("list").replaceChildren(...listed.map((feature) => rows.get(feature).item));
  const query = at("search").value.trim();
  const isPart = query || listed.length < features.length;
  at("search-count").textContent = isPart ? `${whole(listed.length)} of ${count(features.length, "feature")}` : count(features.length, "feature");
  at("no-match").hidden = listed.length > 0;
  at("no-match").replaceChildren(
    ...(query
      ? ["No feature has ", h("bdi", { class: "query" }, plain(query)), ". ", h("button", { type: "button", class: "quiet", click: () => search("") }, "Show all")]
      : [features.length > 0 ? "None of the features is shown." : "This fit has no features."]),
  );
}

function search(query) {
  at("search").value = query;
  matches = matcher(query);
  updateList();
  dimMap();
  const { view } = route();
  const inList = ["list", "feature"].includes(view);
  if (query && listed.length === 1 && inList) {
    // The only hit opens, and whoever types goes on typing.
    history.replaceState(null, "", "#feature-" + listed[0].number);
    showRoute();
  } else if (query && view !== "map" && (!inList || (isNarrow() && view === "feature"))) location.hash = "";
}

// Which features the list has at all.
function show(name) {
  isShown = shownBy(name);
  updateList();
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

// The first row in sight and how far down it is. Rows out of sight have estimated heights, so a scroll position alone would not lead back.
function placeInList() {
  for (const feature of listed) {
    const { top, bottom } = rows.get(feature).link.getBoundingClientRect();
    if (bottom > 0) return { feature, top };
  }
  return null;
}

// Scrolls the page to where the list was left. For that, all of its rows need their real heights.
function returnTo(place) {
  if (!place || !listed.includes(place.feature)) return window.scrollTo(0, 0);
  at("list").classList.add("whole");
  window.scrollBy(0, rows.get(place.feature).link.getBoundingClientRect().top - place.top);
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
