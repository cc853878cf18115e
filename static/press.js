// Nothing moves or is replaced under a press: the button would be elsewhere when it is let go, and the click lost.
// What the page asks for on its own is left meanwhile; a part that updates every few seconds is asked for again anyway,
// and what follows a field once the press is over.
(() => {
  "use strict";
  const PRESSED_FOR = ["click", "submit"];
  let pressing = false;
  const missed = new Map(); // element -> its last request whose answer was left

  function press({ isPrimary, button }) {
    pressing = isPrimary && button === 0;
  }

  function release() {
    pressing = false;
    setTimeout(() => { // the click first
      for (const [source, { path, triggeringEvent: event }] of missed) {
        if (source.isConnected) htmx.ajax("get", path, { source, event });
      }
      missed.clear();
    });
  }

  document.addEventListener("pointerdown", press, true);
  for (const end of ["pointerup", "pointercancel", "contextmenu"]) document.addEventListener(end, release, true);

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { elt, verb, triggeringEvent } = detail.requestConfig ?? {};
    if (!pressing || !detail.shouldSwap || verb !== "get" || PRESSED_FOR.includes(triggeringEvent?.type)) return;
    detail.shouldSwap = false;
    if (triggeringEvent) missed.set(elt, detail.requestConfig);
  });
})();
