// Where the features stand: strongest first in the first column, then each near those that it is linked to.

const graph = JSON.parse(at("data").textContent);
const COLUMN = 205;
const BETWEEN = 130;
const LINE = 17;
const HEAD = 46;

// The links of each feature to the column before and after, strongest first.
const linked = graph.fits.map((fit) => fit.features.map(() => ({ before: [], after: [] })));
graph.links.forEach(({ links }, i) => {
  for (const [first, second, similarity, isMatch] of links) {
    linked[i][first].after.push({ column: i + 1, feature: second, similarity, isMatch: isMatch === 1 });
    linked[i + 1][second].before.push({ column: i, feature: first, similarity, isMatch: isMatch === 1 });
  }
});

const byShare = (fit) => (a, b) => (fit.features[b].share ?? 0) - (fit.features[a].share ?? 0) || a - b;
const places = [];
graph.fits.forEach((fit, i) => {
  const order = fit.features.map((_, k) => k).sort(byShare(fit));
  if (i > 0) {
    // The place of the most similar feature before; those without one come last.
    const wanted = fit.features.map((_, k) => {
      const [nearest] = linked[i][k].before;
      return nearest ? places[i - 1][nearest.feature] : Infinity;
    });
    const rank = new Map(order.map((k, at) => [k, at]));
    order.sort((a, b) => (wanted[a] === wanted[b] ? rank.get(a) - rank.get(b) : wanted[a] - wanted[b]));
  }
  const place = new Array(order.length);
  order.forEach((k, at) => { place[k] = at; });
  places.push(place);
});
const tallest = Math.max(1, ...graph.fits.map((fit) => fit.features.length));
const x = (column) => column * (COLUMN + BETWEEN);
// Columns are as tall as they have features; shorter ones are stretched a little, so that links do not all run downwards.
const stretch = graph.fits.map((fit) => Math.min(3, Math.max(1, tallest / Math.max(1, fit.features.length))));
const y = (column, feature) => HEAD + (places[column][feature] + 0.5) * LINE * stretch[column];
