// A small hint at the pointer or below the focused element.
const hints = new WeakMap();
const withHint = (node, hint) => (hints.set(node, hint), node);

function showHint(target, x, y) {
  const tip = at("tip");
  const owner = target instanceof Element ? target.closest("[data-tip], [data-hint]") : null;
  const text = owner && (owner.dataset.tip ?? hints.get(owner)?.());
  document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  owner.setAttribute("aria-describedby", "tip");
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
