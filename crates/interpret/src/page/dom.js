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

// A token by itself: blanks at its ends matter.
function token(text) {
  const [, before, inner, after] = text.match(/^( *)([^]*?)( *)$/);
  const blanks = (count) => count.length > 0 && h("span", { class: "sign" }, "·".repeat(count.length));
  return h("bdi", { class: "token" }, blanks(before), shown(inner), blanks(after));
}

// Numbers for people; a dash for those that are none.
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const written = (options) => {
  const format = new Intl.NumberFormat("en-US", options);
  return (value) => (isNumber(value) ? format.format(value).replace("-", "−") : "–");
};
const whole = written({ maximumFractionDigits: 0 });
const three = written({ maximumSignificantDigits: 3 });
const fixed2 = written({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const fixed3 = written({ minimumFractionDigits: 3, maximumFractionDigits: 3 });
const fixed4 = written({ minimumFractionDigits: 4, maximumFractionDigits: 4 });
const signed = (value) => (isNumber(value) && value > 0 ? "+" : "") + fixed2(value);
const percentOnce = written({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percentFine = written({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const small = (value) => (isNumber(value) && value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(1).replace("e-", "e−") : three(value));

function percent(share) {
  if (!isNumber(share)) return "–";
  const value = share * 100;
  if (value !== 0 && Math.abs(value) < 0.005) return value < 0 ? "−<0.01%" : "<0.01%";
  return (Math.abs(value) < 1 ? percentFine : percentOnce)(value) + "%";
}

const count = (number, one, many) => `${whole(number)} ${number === 1 ? one : many ?? one + "s"}`;

// A small hint at the pointer or below the focused element.
const hints = new WeakMap();
const withHint = (node, hint) => (hints.set(node, hint), node);

function showHint(target, x, y) {
  const tip = at("tip");
  const owner = target instanceof Element ? target.closest("[data-tip], [data-hint]") : null;
  const text = owner && (owner.dataset.tip ?? hints.get(owner)?.());
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  const left = Math.min(x + 12, document.documentElement.clientWidth - box.width - 8);
  const top = y + 18 + box.height > window.innerHeight ? y - box.height - 10 : y + 18;
  tip.style.setProperty("left", Math.max(8, left) + "px");
  tip.style.setProperty("top", Math.max(8, top) + "px");
}

document.addEventListener("pointermove", (event) => showHint(event.target, event.clientX, event.clientY));
document.addEventListener("pointerdown", (event) => showHint(event.target, event.clientX, event.clientY));
document.addEventListener("pointerleave", () => (at("tip").hidden = true));
document.addEventListener("focusin", (event) => {
  const box = event.target.getBoundingClientRect();
  if (event.target.matches(":focus-visible")) showHint(event.target, box.left, box.bottom - 12);
});
document.addEventListener("focusout", () => (at("tip").hidden = true));
