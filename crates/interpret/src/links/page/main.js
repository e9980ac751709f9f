// The columns, the links and the open feature.

const feature = ({ column, feature: k }) => graph.fits[column].features[k];
const names = (words) => words.slice(0, 4).map((word) => plain(word).trim() || "␣").join(", ");
const label = (place) => names(feature(place).words) || "#" + place.feature;
const cut = (text, most) => ([...text].length > most ? [...text].slice(0, most - 1).join("") + "…" : text);
// The end of a path says more than its beginning.
const cutStart = (text, most) => ([...text].length > most ? "…" + [...text].slice(1 - most).join("") : text);
const key = ({ column, feature: k }) => `${column}-${k}`;
const nodes = new Map();
const paths = [];

function drawFeature(column, k, most) {
  const place = { column, feature: k };
  const { words, share, active, reproducibility } = feature(place);
  const doubtful = isNumber(reproducibility) && reproducibility < graph.reproducible_from;
  const facts = [`#${k}`, `${percent(share)} explained`, `active on ${percent(active)} of the tokens`, isNumber(reproducibility) && `reproducibility ${fixed2(reproducibility)}`].filter(Boolean).join(", ");
  const top = y(column, k) - LINE / 2;
  const size = Math.max(1, Math.sqrt(Math.max(0, share) / most) * 26);
  const classes = ["feature", doubtful && "doubtful", words.length === 0 && "unnamed"].filter(Boolean).join(" ");
  const node = withHint(
    s("g", { class: classes, tabindex: "0", role: "button", "data-hint": true, "aria-label": `${label(place)}, ${facts}`,
      click: () => open(place), keydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), open(place)) },
      s("rect", { class: "catch", x: x(column), y: top.toFixed(1), width: COLUMN, height: LINE, rx: 4 }),
      s("rect", { class: "size", x: x(column) + 2, y: (top + 5).toFixed(1), width: size.toFixed(1), height: LINE - 10, rx: 2 }),
      s("text", { x: x(column) + 34, y: (top + LINE - 4.5).toFixed(1) }, cut(label(place), 25))),
    () => `${names(words) || "no words"} (${facts})`);
  nodes.set(key(place), node);
  return node;
}

// Cuts the labels that are wider than their room. They are measured first and changed afterwards, so that the page is laid
// out once.
function cutWide(labels, room) {
  const shorter = labels.filter((label) => label.getComputedTextLength() > room).map((label) => {
    const letters = [...label.textContent];
    let fits = 0;
    for (let end = 0; fits < letters.length; fits++) {
      end += letters[fits].length;
      if (label.getSubStringLength(0, end) > room - 14) break;
    }
    return [label, letters.slice(0, fits).join("") + "…"];
  });
  for (const [label, text] of shorter) label.textContent = text;
}

function drawLink(i, [first, second, similarity, isMatch]) {
  const [x1, x2] = [x(i) + COLUMN + 2, x(i + 1) - 2];
  const [y1, y2] = [y(i, first), y(i + 1, second)];
  const middle = (x1 + x2) / 2;
  const path = s("path", { class: isMatch === 1 ? "link match" : "link", d: `M${x1} ${y1.toFixed(1)}C${middle} ${y1.toFixed(1)} ${middle} ${y2.toFixed(1)} ${x2} ${y2.toFixed(1)}`,
    "--strength": (0.12 + 0.75 * similarity ** 2).toFixed(2), "--width": (0.6 + 2.4 * similarity ** 2).toFixed(2) });
  paths.push({ path, similarity, ends: [`${i}-${first}`, `${i + 1}-${second}`] });
  return path;
}

function drawGraph() {
  const width = x(graph.fits.length - 1) + COLUMN + 4;
  const height = HEAD + Math.max(...graph.fits.map((fit, i) => fit.features.length * LINE * stretch[i])) + 8;
  const heads = graph.fits.map((fit, i) => [
    s("text", { class: "head", x: x(i) + 2, y: 15 }, cutStart(plain(fit.name), 26)),
    s("text", { class: "head-about", x: x(i) + 2, y: 32 }, `${count(fit.features.length, "feature")}, error ${fixed3(fit.error)}`),
  ]);
  const between = graph.links.map(({ measure, persistence: found, same_from: from }, i) => [
    s("text", { class: "between", x: x(i) + COLUMN + BETWEEN / 2, y: 15, "text-anchor": "middle" }, `${found.same} the same`),
    s("text", { class: "between", x: x(i) + COLUMN + BETWEEN / 2, y: 32, "text-anchor": "middle" }, `${measure} ≥ ${from}`),
  ]);
  const columns = graph.fits.map((fit, i) => {
    const most = Math.max(1e-12, ...fit.features.map(({ share }) => share ?? 0));
    return s("g", {}, fit.features.map((_, k) => k).sort((a, b) => places[i][a] - places[i][b]).map((k) => drawFeature(i, k, most)));
  });
  at("frame").append(s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Features and links" },
    heads, between, graph.links.map(({ links }, i) => [...links].reverse().map((link) => drawLink(i, link))), columns));
  cutWide([...at("frame").querySelectorAll(".feature text")], COLUMN - 34);
}

function linkList(title, links) {
  if (links.length === 0) return null;
  return [h("h3", {}, title), h("ul", {}, links.map((link) => h("li", {},
    h("button", { type: "button", class: "go", click: () => open(link, true) }, h("bdi", {}, cut(label(link), 60)), h("span", { class: "number" }, ` #${link.feature}`)),
    h("span", { class: "figure" }, fixed2(link.similarity)))))];
}

let opened = null;
function open(place, scroll) {
  const isSame = opened !== null && key(opened) === key(place) && !scroll;
  opened = isSame ? null : place;
  at("frame").classList.toggle("has-open", opened !== null);
  const near = new Set();
  for (const { path, ends } of paths) {
    const isOf = opened !== null && ends.includes(key(opened));
    path.classList.toggle("of-open", isOf);
    if (isOf) ends.forEach((end) => near.add(end));
  }
  for (const [name, node] of nodes) {
    node.classList.toggle("is-open", opened !== null && name === key(opened));
    node.classList.toggle("linked", near.has(name));
  }
  at("open").classList.toggle("is-empty", opened === null);
  if (opened === null) {
    at("open").replaceChildren(h("p", { class: "about" }, "Click a feature to see what it is linked to. A link in the list leads on."));
    return;
  }
  const { words, share, active, reproducibility } = feature(place);
  const { before, after } = linked[place.column][place.feature];
  const fit = (column) => plain(graph.fits[column].name);
  at("open").replaceChildren(
    h("p", { class: "about" }, isolated(graph.fits[place.column].name), ` · #${place.feature}`),
    h("h2", {}, words.length > 0 ? isolated(names(words)) : `Feature ${place.feature}`),
    h("p", { class: "about" }, `${percent(share)} explained, active on ${percent(active)} of the tokens`,
      isNumber(reproducibility) && `, reproducibility ${fixed2(reproducibility)}`),
    ...[linkList(`From ${place.column > 0 ? fit(place.column - 1) : ""}`, before),
      linkList(`In ${place.column + 1 < graph.fits.length ? fit(place.column + 1) : ""}`, after)].filter(Boolean).flat(),
    before.length + after.length === 0 ? h("p", { class: "about" }, "It is linked to no feature of a neighbouring fit.") : "");
  if (scroll) {
    nodes.get(key(place)).scrollIntoView({ block: "center", inline: "center" });
    nodes.get(key(place)).focus({ preventScroll: true });
  }
}

function search(query) {
  const wanted = query.trim().toLowerCase();
  const number = /^#(\d+)$/.exec(wanted);
  let hits = [];
  graph.fits.forEach((fit, column) => fit.features.forEach(({ words }, k) => {
    const isHit = wanted !== "" && (number ? k === Number(number[1]) : words.some((word) => word.toLowerCase().includes(wanted)));
    nodes.get(`${column}-${k}`).classList.toggle("hit", isHit);
    if (isHit) hits.push({ column, feature: k });
  }));
  at("found").textContent = wanted === "" ? "" : hits.length === 0 ? "nothing found" : count(hits.length, "feature");
  return hits;
}

function hideWeak() {
  const least = Number(at("least").value);
  at("least-value").textContent = fixed2(least);
  for (const { path, similarity } of paths) path.classList.toggle("weak", similarity < least);
}

function drawClaim() {
  const [first, last] = [graph.fits[0], graph.fits.at(-1)];
  const parts = graph.links.map(({ persistence: found, measure, same_from: from }, i) => {
    const [a, b] = [graph.fits[i], graph.fits[i + 1]];
    const facts = [
      `${found.same} of ${Math.min(a.features.length, b.features.length)} stay the same (a ${measure} of at least ${from})`,
      found.split > 0 && `${found.split} split`,
      found.merged > 0 && `${found.merged} come from two or more`,
      found.lost > 0 && `${found.lost} vanish`,
      found.new > 0 && `${found.new} are new`,
    ].filter(Boolean);
    return h("li", {}, isolated(a.name), " → ", isolated(b.name), `: ${facts.join(", ")}.`);
  });
  if (graph.fits.length === 2) {
    const possible = Math.min(first.features.length, last.features.length);
    at("claim").append(h("strong", {}, `${graph.links[0].persistence.same} of ${count(possible, "feature")}`), " are the same in both fits");
  } else {
    at("claim").append("How features persist, split and merge over ", h("strong", {}, `${graph.fits.length} fits`));
  }
  at("lead").append(...parts);
}

at("title").append(isolated(graph.title));
drawClaim();
drawGraph();
const floor = Math.min(...graph.links.map(({ linked_from: from }) => from));
at("least").min = String(floor);
at("least").value = String(floor);
hideWeak();
at("least").addEventListener("input", hideWeak);
at("search").addEventListener("input", (event) => search(event.target.value));
at("search").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const [hit] = search(event.target.value);
  if (hit) open(hit, true);
});
at("theme").addEventListener("click", toggleTheme);
at("open").classList.add("is-empty");
at("open").append(h("p", { class: "about" }, "Click a feature to see what it is linked to. A link in the list leads on."));
