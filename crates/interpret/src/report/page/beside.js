// A second fit beside this one: its features, matched one to one.

const beside = report.beside;
const besideOf = new Map((beside?.pairs ?? []).map((pair) => [pair.feature, pair]));
const besideFeatures = new Map((beside?.features ?? []).map((feature) => [feature.number, feature]));
const likeness = beside?.by ?? "cosine";

function otherName({ number, words }) {
  const names = wordsOf({ words }).slice(0, 4);
  return apart(names.length > 0 ? names : [`Feature ${number}`]);
}

// The match of one feature, among its parts.
function besidePart(feature) {
  if (!beside) return null;
  const pair = besideOf.get(feature.number);
  const title = h("span", {}, "Its match in ", isolated(beside.title));
  if (!pair) return section(title, "wide beside-part", h("p", { class: "about" }, "None: no feature there is like it."));
  const other = besideFeatures.get(pair.other);
  return section(title, "wide beside-part",
    h("p", {}, h("span", { class: "number" }, "#" + other.number), " ", h("strong", {}, otherName(other)), " ",
      explained(likeness, `${likeness} ${fixed2(pair.likeness)}`), `, active at ${percent(other.active_share)}`),
    h("details", { class: "more" }, h("summary", {}, `Where it is strongest in the other fit`), contextList(other.contexts, other.max_coefficient)));
}

// Both sides of a match, put together when it is opened.
function besideRow(pair) {
  const feature = byNumber.get(pair.feature);
  const other = besideFeatures.get(pair.other);
  const side = (title, contexts, most) => h("div", {}, h("h4", {}, title), contextList(contexts.slice(0, 5), most));
  const body = h("div", { class: "sides" });
  const fill = () => body.childElementCount > 0 || put(body,
    side(featureLink(feature.number), feature.contexts, feature.max_coefficient),
    side([h("span", { class: "number" }, "#" + other.number), " in ", isolated(beside.title)], other.contexts, other.max_coefficient));
  return h("details", { class: "node", toggle: (event) => event.target.open && fill() },
    h("summary", { class: "match" }, h("span", { class: "figure" }, fixed2(pair.likeness)), meter(pair.likeness, 1),
      h("span", {}, h("span", { class: "number" }, "#" + feature.number), " ", nameNodes(feature)),
      h("span", {}, h("span", { class: "number" }, "#" + other.number), " ", otherName(other))),
    body);
}

function drawBeside() {
  if (at("view-beside").childElementCount > 0) return;
  const pairs = beside.pairs.filter((pair) => byNumber.has(pair.feature) && besideFeatures.has(pair.other));
  const alone = features.filter((feature) => !besideOf.has(feature.number));
  const taken = new Set(pairs.map((pair) => pair.other));
  const others = beside.features.filter((feature) => !taken.has(feature.number));
  const again = pairs.filter((pair) => pair.likeness >= beside.same_from).length;
  put(at("view-beside"),
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Beside ", isolated(beside.title)),
      h("p", { class: "about" }, `${count(features.length, "feature")} here and ${whole(beside.rank)} there, which explain ${percent(1 - report.run.relative_error)} and ${percent(1 - beside.relative_error)}. They are matched one to one by ${beside.by === "correlation" ? "the correlation of their coefficients" : "their cosine"}, ${fixed2(beside.stability)} on the mean. ${count(again, "match has", "matches have")} at least ${three(beside.same_from)}, as the same feature has.`)),
    h("ul", { class: "matches" }, pairs.map((pair) => h("li", {}, besideRow(pair)))),
    alone.length > 0 && h("section", { class: "part" }, h("h3", {}, "Only here"), h("ul", { class: "links" }, alone.map((feature) => h("li", {}, featureLink(feature.number))))),
    others.length > 0 && h("section", { class: "part" }, h("h3", {}, "Only in ", isolated(beside.title)),
      h("ul", { class: "links" }, others.map((other) => h("li", {}, h("span", { class: "chip plain" }, h("span", { class: "number" }, "#" + other.number), h("span", { class: "chip-name" }, otherName(other))))))));
}
