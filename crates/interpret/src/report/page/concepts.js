// The concepts that features were compared with.

const CONCEPT_COLUMNS = [
  { key: "concept", name: "concept", text: true, value: (row) => [row.parent ?? "", row.concept].join("\n"), cell: (row) => [row.parent !== null && h("span", { class: "about" }, isolated(row.parent), " › "), isolated(row.concept)] },
  { key: "prompts", name: "prompts", value: (row) => row.prompts, cell: (row) => whole(row.prompts) },
  { key: "auc", name: explained("auc", "AUC"), value: (row) => row.auc, cell: (row) => [meter(row.auc === null ? null : 2 * row.auc - 1, 1), fixed3(row.auc)] },
  { key: "chance", name: explained("chance", "chance"), value: (row) => row.chance?.[0] ?? null, cell: (row) => (row.chance ? `${fixed2(row.chance[0])} (<${fixed2(row.chance[1])})` : "–") },
  { key: "p_value", name: explained("p", "p"), value: (row) => row.p_value, cell: (row) => fixed3(row.p_value) },
  { key: "diff_means_auc", name: explained("diff", "diff. of means"), value: (row) => row.diff_means_auc, cell: (row) => fixed3(row.diff_means_auc) },
  { key: "score", name: explained("score", "S_CD"), value: (row) => row.score, cell: (row) => signed(row.score) },
  { key: "feature", name: "best feature", text: true, value: (row) => (row.feature === null ? "" : String(row.feature).padStart(8, "0")), cell: (row) => (row.feature === null ? "–" : featureLink(row.feature)) },
];
let conceptOrder = { key: "auc", down: true };

// All concepts together, and what shuffled labels give instead.
function conceptChance() {
  const chance = report.concept_chance;
  if (!chance) return null;
  return h("p", { class: "about" }, `Mean AUC ${fixed2(chance.auc)}; with shuffled labels ${fixed2(chance.chance[0])} on the mean of ${count(chance.permutations, "shuffle")}, and ${fixed2(chance.chance[1])} or less in 95% of them.`);
}

function drawConcepts(again) {
  if (at("view-concepts").childElementCount > 0 && !again) return;
  const columns = CONCEPT_COLUMNS.filter(({ text, value }) => text || report.concepts.some((row) => isNumber(value(row))));
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
  at("view-concepts").replaceChildren();
  put(at("view-concepts"),
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Concepts"),
      h("p", { class: "about" }, "For each concept the feature that detects it best, chosen on half of the prompts and scored on the other. Grey rows are not beyond chance."),
      conceptChance()),
    h("div", { class: "scroll" }, h("table", { class: "concepts" }, h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, ordered.map((row) => h("tr", { class: row.detected ? "" : "aside" }, columns.map((column) => h("td", { class: column.text ? "" : "right", "data-name": column.key }, column.cell(row)))))))));
}
