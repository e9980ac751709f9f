// Lists and notes that a reader keeps: in the browser's own storage, and in files that the reader exports and imports.

const KEPT_KEY = "unmix-kept-" + (report.id || report.title);
const KEPT_FORMAT = "unmix-notes";
const LONGEST_NOTE = 10000;

// { lists: name → numbers, notes: number → text }, both of them maps.
let kept = { lists: new Map(), notes: new Map() };
// Whether the browser lets this page keep anything.
let isStored = true;

// The content of a file or of the storage, as far as it is what it should be: features that the report has, and text.
function readKept(value) {
  const found = { lists: new Map(), notes: new Map() };
  const has = (number) => byNumber.has(number);
  for (const [name, numbers] of Object.entries(value?.lists ?? {}))
    if (name.trim() && Array.isArray(numbers)) {
      // Long names are cut. Lists whose names are the same then become one.
      const short = name.slice(0, 80);
      found.lists.set(short, new Set([...(found.lists.get(short) ?? []), ...numbers.filter(has)]));
    }
  for (const [number, text] of Object.entries(value?.notes ?? {}))
    if (has(Number(number)) && typeof text === "string" && text) found.notes.set(Number(number), text.slice(0, LONGEST_NOTE));
  return found;
}

const plainKept = () => ({
  lists: Object.fromEntries([...kept.lists].map(([name, numbers]) => [name, [...numbers]])),
  notes: Object.fromEntries(kept.notes),
});

function loadKept() {
  try {
    const text = localStorage.getItem(KEPT_KEY);
    if (text) kept = readKept(JSON.parse(text));
  } catch {
    isStored = false;
  }
}

function storeKept() {
  try {
    localStorage.setItem(KEPT_KEY, JSON.stringify(plainKept()));
    isStored = true;
  } catch {
    isStored = false;
  }
}

const listsOf = (number) => [...kept.lists].filter(([, numbers]) => numbers.has(number)).map(([name]) => name);

// The file that a reader exports: what is kept, and the names of its features for people.
function exportedKept() {
  const numbers = new Set([...kept.notes.keys(), ...[...kept.lists.values()].flatMap((numbers) => [...numbers])]);
  const names = Object.fromEntries([...numbers].map((number) => [number, nameText(byNumber.get(number))]));
  return JSON.stringify({ format: KEPT_FORMAT, version: 1, report: report.title, id: report.id, ...plainKept(), names }, null, 2);
}

// Adds what a file holds to what is kept. Says what happened.
function importKept(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return "This file is no JSON. Choose one that a report has exported.";
  }
  if (value?.format !== KEPT_FORMAT) return "These are no lists and notes. Choose a file that a report has exported.";
  if ((value.id || value.report) !== (report.id || report.title)) return `These are lists and notes on other features: ${plain(String(value.report))}.`;
  const found = readKept(value);
  changeKept(() => {
    for (const [name, numbers] of found.lists) kept.lists.set(name, new Set([...(kept.lists.get(name) ?? []), ...numbers]));
    for (const [number, note] of found.notes) {
      const own = kept.notes.get(number);
      kept.notes.set(number, own && !own.includes(note) ? own + "\n" + note : own ?? note);
    }
  });
  return `Imported ${count(found.lists.size, "list")} and ${count(found.notes.size, "note")}.`;
}
