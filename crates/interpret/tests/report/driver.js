// What drivers use. A driver is the body of an asynchronous function and returns what it found.
(async () => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (selector) => one(selector)?.textContent ?? null;
  // Until the page has reacted: a change of the address is told later.
  const settle = () => new Promise((done) => setTimeout(done, 100));
  const key = (name, target = document.activeElement ?? document.body) =>
    target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const type = (query) => {
    one("#search").value = query;
    one("#search").dispatchEvent(new Event("input", { bubbles: true }));
  };
  const isSeen = (selector) => one(selector).checkVisibility();
  let found;
  try {
    found = await (async () => {
      /* driver */
    })();
  } catch (error) {
    found = { error: String(error?.stack ?? error) };
  }
  const json = JSON.stringify(found).replace(/[<>&]/g, (c) => "\\u00" + c.charCodeAt(0).toString(16));
  const write = (document) => {
    const pre = document.createElement("pre");
    pre.id = "driver";
    pre.textContent = json;
    document.body.append(pre);
  };
  // In a frame: the page around it is the one that is read.
  if (parent === window) write(document);
  else parent.postMessage(json, "*");
})();
