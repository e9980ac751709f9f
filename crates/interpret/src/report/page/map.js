// The map of the features.

const dots = new Map();

function drawMap() {
  if (at("view-map").childElementCount > 0) return;
  const placed = features.filter((feature) => feature.position?.every(isNumber));
  // As large as the window has room for, in its pixels.
  const width = Math.min(1500, Math.max(320, at("view-map").clientWidth - 80));
  const height = Math.min(900, Math.max(420, window.innerHeight - 260));
  const crowd = Math.min(1, Math.max(0.55, Math.sqrt(120 / Math.max(placed.length, 1))));
  const [margin, scale] = [width < 700 ? 22 : 34, crowd * Math.min(1, 0.55 + width / 2400)];
  const most = Math.max(...placed.map((feature) => feature.explained_share).filter(isNumber), 1e-12);
  const radius = (feature) => scale * (5 + 13 * Math.sqrt(Math.max(0, isNumber(feature.explained_share) ? feature.explained_share / most : 0)));
  const place = ({ position: [x, y] }) => [margin + x * (width - 2 * margin), margin + y * (height - 2 * margin)];
  const bySize = [...placed].sort((a, b) => radius(b) - radius(a));
  const circles = bySize.map((feature) => {
    const [x, y] = place(feature);
    const dot = s("a", { class: dead.has(feature.number) ? "dot dead" : "dot", href: "#feature-" + feature.number, "data-hint": true, "aria-label": `Feature ${feature.number}: ${nameText(feature)}`, "--dot": groupColour(feature.group) },
      s("circle", { cx: fixed(x), cy: fixed(y), r: fixed(radius(feature)) }));
    dots.set(feature, dot);
    return withHint(dot, () => `#${feature.number} ${nameText(feature)}: ${percent(feature.explained_share)}${report.groups[feature.group] ? ", " + plain(report.groups[feature.group]) : ""}`);
  });
  // Names of the largest, where there is room.
  const taken = bySize.map((feature) => {
    const [[x, y], r] = [place(feature), radius(feature)];
    return [x - r, y - r, x + r, y + r];
  });
  const names = [];
  for (const feature of bySize.slice(0, 120)) {
    if (names.length >= 45 || dead.has(feature.number)) continue;
    const name = nameParts(feature).slice(0, 2).map(plain).join(", ");
    const text = name.length > 22 ? [...name].slice(0, 20).join("") + "…" : name;
    const [x, y] = place(feature);
    const [half, base] = [text.length * 3.6, y - radius(feature) - 5];
    const box = [x - half, base - 12, x + half, base + 3];
    if (box[0] < 2 || box[2] > width - 2 || box[1] < 2) continue;
    if (taken.some((other) => other[0] < box[2] && box[0] < other[2] && other[1] < box[3] && box[1] < other[3])) continue;
    taken.push(box);
    const label = s("text", { class: "map-name", x: fixed(x), y: fixed(base), "text-anchor": "middle" }, text);
    names.push(label);
    dots.get(feature).append(label);
  }
  const groups = report.groups.map((group, i) => placed.some((f) => f.group === i) && h("span", { class: "group" }, h("i", { "--dot": groupColour(i) }), isolated(group)));
  at("view-map").append(
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Map"),
      h("p", { class: "about" }, "Features that use the same neurons or the same tokens lie close together; larger dots explain more. Directions and long distances mean nothing.")),
    h("div", { class: "map-frame" }, s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Map of ${count(placed.length, "feature")}` }, circles)),
    h("p", { class: "groups" }, groups));
  dimMap();
}

function dimMap() {
  const query = at("search").value.trim();
  for (const [feature, dot] of dots) dot.classList.toggle("dim", query.length > 0 && !matches(feature));
}
