// Lists and notes on the page: above the list of features, beside each feature, and in a view of their own.

// Changes what is kept, beginning with what another window may have stored meanwhile.
function changeKept(change) {
  loadKept();
  change();
  storeKept();
  drawShown();
  updateList();
  for (const feature of features) markKept(feature);
}

function markKept(feature) {
  const isKept = kept.notes.has(feature.number) || listsOf(feature.number).length > 0;
  rows.get(feature).mark.textContent = isKept ? "★" : "";
}

// Which features a choice above the list stands for.
const SHOWN = { all: "all features", noted: "with a note", found: "found again" };

function shownBy(name) {
  if (name.startsWith("list:")) return ({ number }) => kept.lists.get(name.slice(5))?.has(number) ?? false;
  const tests = { all: () => true, noted: ({ number }) => kept.notes.has(number), found: (feature) => !isDoubtful(feature) };
  return Object.hasOwn(tests, name) ? tests[name] : tests.all;
}

// The choices above the list: those that there is something for.
function drawShown() {
  const select = at("show");
  const now = select.value || "all";
  const choices = [["all", SHOWN.all]];
  if (features.some(isDoubtful)) choices.push(["found", SHOWN.found]);
  if (kept.notes.size > 0) choices.push(["noted", SHOWN.noted]);
  for (const [name, numbers] of kept.lists) if (numbers.size > 0) choices.push(["list:" + name, name]);
  select.replaceChildren(...choices.map(([value, text]) => h("option", { value }, plain(text))));
  select.value = choices.some(([value]) => value === now) ? now : "all";
  select.hidden = choices.length === 1;
  isShown = shownBy(select.value);
}

function setInList(name, number, isIn) {
  changeKept(() => {
    const numbers = kept.lists.get(name) ?? new Set();
    if (isIn) numbers.add(number);
    else numbers.delete(number);
    kept.lists.set(name, numbers);
    if (numbers.size === 0) kept.lists.delete(name);
  });
}

// The reader's part of one feature.
function keptPart({ number }) {
  const body = h("div", {});
  const isKept = kept.notes.has(number) || listsOf(number).length > 0;
  const part = h("details", { class: "kept", open: isKept }, h("summary", {}, "Your lists and note"), body);
  const draw = () => {
    body.replaceChildren();
    const names = [...new Set(["Favourites", ...kept.lists.keys()])];
    const boxes = names.map((name) => h("label", { class: "check" },
      h("input", { type: "checkbox", checked: kept.lists.get(name)?.has(number) ?? false, change: (event) => setInList(name, number, event.target.checked) }), isolated(name)));
    const add = (event) => {
      event.preventDefault();
      const name = event.target.elements.name.value.trim().slice(0, 80);
      if (!name) return;
      setInList(name, number, true);
      draw();
    };
    const note = h("textarea", { rows: 2, maxlength: LONGEST_NOTE, placeholder: "A note on this feature", "aria-label": `Note on feature ${number}` });
    note.value = kept.notes.get(number) ?? "";
    note.addEventListener("input", () => changeKept(() => {
      if (note.value) kept.notes.set(number, note.value);
      else kept.notes.delete(number);
    }));
    put(body, h("div", { class: "checks" }, boxes),
      h("form", { submit: add }, h("input", { name: "name", type: "text", maxlength: 80, placeholder: "New list", "aria-label": "Name of a new list", autocomplete: "off" }), h("button", {}, "Add")), note,
      !isStored && h("p", { class: "warn" }, "This browser stores nothing for this page. Export what you want to keep."));
  };
  draw();
  return part;
}

// All that is kept, and its way out of and into the page.
function drawKept() {
  const message = h("p", { role: "status" });
  const save = () => {
    const link = h("a", { href: URL.createObjectURL(new Blob([exportedKept()], { type: "application/json" })), download: "unmix-notes.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const load = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    const said = importKept(await file.text());
    drawKept();
    at("view-kept").querySelector("[role=status]").textContent = said;
  };
  const entry = (number, ...after) => h("li", {}, featureLink(number), after);
  const isEmpty = kept.lists.size === 0 && kept.notes.size === 0;
  at("view-kept").replaceChildren();
  put(at("view-kept"),
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Lists and notes"),
      h("p", { class: "about" }, "What you keep stays in this browser, for these features. Export it to share it, or to have it elsewhere."),
      !isStored && h("p", { class: "warn" }, "This browser stores nothing for this page. Export what you want to keep.")),
    h("p", { class: "kept-actions" },
      h("button", { type: "button", disabled: isEmpty, click: save }, "Export as JSON"),
      h("label", { class: "button" }, "Import", h("input", { type: "file", accept: "application/json,.json", class: "visually-hidden", change: load }))),
    message,
    isEmpty && h("p", { class: "empty" }, "Nothing yet. Each feature has a place for lists and a note."),
    [...kept.lists].map(([name, numbers]) => h("section", { class: "part" }, h("h3", {}, isolated(name), h("span", { class: "about" }, ` ${count(numbers.size, "feature")}`)),
      h("ul", { class: "links" }, [...numbers].map((number) => entry(number,
        h("button", { type: "button", class: "quiet", "aria-label": `Take feature ${number} off the list`, click: () => (setInList(name, number, false), drawKept()) }, "×")))))),
    kept.notes.size > 0 && h("section", { class: "part" }, h("h3", {}, "Notes"),
      h("ul", { class: "kept-notes" }, [...kept.notes].map(([number, text]) => entry(number, h("p", {}, isolated(text)))))));
}
