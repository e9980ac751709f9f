// Light and dark: the system's choice until another is made, which is remembered where the browser lets us.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const remembered = (() => { try { return localStorage.getItem("unmix-theme"); } catch { return null; } })();
if (remembered === "light" || remembered === "dark") document.documentElement.dataset.theme = remembered;
function toggleTheme() {
  const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  try { localStorage.setItem("unmix-theme", document.documentElement.dataset.theme); } catch { /* not remembered, then */ }
}
