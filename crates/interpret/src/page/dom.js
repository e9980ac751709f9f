// Elements. They are made here alone, of names and text, never of markup: whatever a token holds, it stays text.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);
const at = (id) => document.getElementById(id);
const put = (node, ...children) => build(node, null, children);

// Where list and detail are screens of their own.
const isNarrow = () => window.matchMedia("(max-width: 760px)").matches;

// Characters that cannot be seen, change the direction of text or stand for nothing.
const UNSEEN = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ue000-\\uf8ff\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff" +
    "\\u{e0000}-\\u{10ffff}]",
  "gu",
);

function sign(character) {
  const code = character.codePointAt(0);
  if (code === 10) return "⏎";
  if (code === 9) return "⇥";
  if (code < 32) return String.fromCharCode(0x2400 + code);
  if (code === 127) return "␡";
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

// Text with a visible mark for each unseen character: for attributes and graphics.
const plain = (text) => text.replace(UNSEEN, sign);

// The same for elements, where marks are set apart from the text.
function shown(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(h("span", { class: sign(match[0]).length > 1 ? "sign boxed" : "sign" }, sign(match[0])));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

// Untrusted text that cannot change the order of what stands around it.
const isolated = (text, attributes) => h("bdi", attributes, shown(text));

// A token by itself: blanks at its ends matter, and one without a glyph is named.
function token(text) {
  if (isUnseen(text)) return h("bdi", { class: "token sign" }, unseenName(text));
  const [, before, inner, after] = text.match(/^( *)([^]*?)( *)$/);
  const blanks = (count) => count.length > 0 && h("span", { class: "sign" }, "·".repeat(count.length));
  return h("bdi", { class: "token" }, blanks(before), shown(inner), blanks(after));
}

// Whether text is nothing but blanks and line breaks, or nothing at all.
const isUnseen = (text) => /^[ \n]*$/.test(text);

// What to call such text.
function unseenName(text) {
  if (text === "") return "part of a character";
  const [breaks, others] = [text.split("\n").length - 1, [...text].filter((character) => character !== "\n").length];
  const parts = [breaks > 0 && count(breaks, "line break"), others > 0 && count(others, "blank")];
  return parts.filter(Boolean).join(" and ");
}

// A token by its text, or by its name if there is nothing to be seen.
const tokenName = (text) => (isUnseen(text) ? unseenName(text) : plain(text).trim());
