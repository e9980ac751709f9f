// The map of the features.

const dots = new Map();

// What colours, sizes and outlines mean.
function mapLegend(placed) {
  const groups = report.groups.map((group, i) => placed.some((feature) => feature.group === i) && h("li", { class: "group" }, h("i", { "--dot": groupColour(i) }), isolated(group)));
  return h("ul", { class: "groups", "aria-label": "Legend" },
    groups,
    report.groups.length > 0 && placed.some((feature) => !report.groups[feature.group]) && h("li", { class: "group" }, h("i", { "--dot": groupColour(null) }), "no concept"),
    placed.some(isDoubtful) && h("li", { class: "group" }, h("i", { class: "hollow" }), "not found again by other runs"),
    placed.some((feature) => dead.has(feature.number)) && h("li", { class: "group" }, h("i", { class: "hollow dashed" }), "no token uses it"),
    h("li", { class: "group" }, h("i", { class: "less" }), h("i", {}), "explains less, more"));
}

// Places for the name of a dot: above, below, right and left of it.
function nameBoxes([x, y], r, wide) {
  return [
    { x, y: y - r - 5, anchor: "middle", box: [x - wide / 2, y - r - 17, x + wide / 2, y - r - 2] },
    { x, y: y + r + 13, anchor: "middle", box: [x - wide / 2, y + r + 1, x + wide / 2, y + r + 16] },
    { x: x + r + 4, y: y + 4, anchor: "start", box: [x + r + 2, y - 8, x + r + 4 + wide, y + 7] },
    { x: x - r - 4, y: y + 4, anchor: "end", box: [x - r - 4 - wide, y - 8, x - r - 2, y + 7] },
  ];
}

function drawMap() {
  if (at("view-map").childElementCount > 0) return;
  const placed = features.filter((feature) => feature.position?.every(isNumber));
  const frame = h("div", { class: "map-frame" });
  put(at("view-map"),
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Map"),
      h("p", { class: "about" }, "Features that use the same neurons or the same tokens lie close together. Directions and long distances mean nothing.")),
    mapLegend(placed), frame);
  // As large as the window has room for, in its pixels.
  const box = frame.getBoundingClientRect();
  const width = Math.min(1500, Math.max(300, box.width - 2));
  const height = Math.max(340, window.innerHeight - (box.top + window.scrollY) - 16);
  const crowd = Math.min(1, Math.max(0.55, Math.sqrt(120 / Math.max(placed.length, 1))));
  const [margin, scale] = [width < 700 ? 22 : 34, crowd * Math.min(1, 0.55 + width / 2400)];
  const most = Math.max(...placed.map((feature) => feature.explained_share).filter(isNumber), 1e-12);
  const radius = (feature) => scale * (5 + 13 * Math.sqrt(Math.max(0, isNumber(feature.explained_share) ? feature.explained_share / most : 0)));
  const place = ({ position: [x, y] }) => [margin + x * (width - 2 * margin), margin + y * (height - 2 * margin)];
  const bySize = [...placed].sort((a, b) => radius(b) - radius(a));
  const kind = (feature) => (dead.has(feature.number) ? "dot dead" : isDoubtful(feature) ? "dot doubtful" : "dot");
  const circles = bySize.map((feature) => {
    const [x, y] = place(feature);
    const dot = s("a", { class: kind(feature), href: "#feature-" + feature.number, "data-hint": true, "aria-label": `Feature ${feature.number}: ${nameText(feature)}`, "--dot": groupColour(feature.group) },
      s("circle", { cx: fixed(x), cy: fixed(y), r: fixed(radius(feature)) }));
    dots.set(feature, dot);
    return withHint(dot, () => `#${feature.number} ${nameText(feature)}: ${percent(feature.explained_share)}${report.groups[feature.group] ? ", " + plain(report.groups[feature.group]) : ""}`);
  });
  // Names where there is room, those of the features that are read first before the others.
  const taken = bySize.map((feature) => {
    const [[x, y], r] = [place(feature), radius(feature)];
    return [x - r, y - r, x + r, y + r];
  });
  const isFree = (box) => box[0] >= 2 && box[2] <= width - 2 && box[1] >= 2 && box[3] <= height - 2 &&
    !taken.some((other) => other[0] < box[2] && box[0] < other[2] && other[1] < box[3] && box[1] < other[3]);
  for (const feature of placed) {
    if (dead.has(feature.number)) continue;
    const name = nameParts(feature).slice(0, 2).map(plain).join(", ");
    const text = name.length > 24 ? [...name].slice(0, 22).join("") + "…" : name;
    const free = nameBoxes(place(feature), radius(feature), text.length * 7).find(({ box }) => isFree(box));
    if (!free) continue;
    taken.push(free.box);
    dots.get(feature).append(s("text", { class: "map-name", x: fixed(free.x), y: fixed(free.y), "text-anchor": free.anchor }, text));
  }
  frame.append(s("svg", { viewBox: `0 0 ${Math.round(width)} ${Math.round(height)}`, role: "group", "aria-label": `Map of ${count(placed.length, "feature")}` }, circles));
  dimMap();
}

function dimMap() {
  const query = at("search").value.trim();
  for (const [feature, dot] of dots) dot.classList.toggle("dim", query.length > 0 && !matches(feature));
}
