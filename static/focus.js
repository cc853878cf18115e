// The focus stays where the work goes on: what closes or vanishes under it hands it to what stands nearest.
(() => {
  "use strict";
  const FOCUSABLE = "a[href], button, input:not([type='hidden']), select, textarea, summary";
  let around = []; // the ids of what held the focus before a part of the page was replaced, from the inside out

  // A menu closes when something in it is chosen
  document.addEventListener("click", ({ target }) => {
    const menu = target.closest(".dropdown-menu");
    menu?.parentElement.querySelector("[data-bs-toggle='dropdown']")?.focus({ preventScroll: true });
  });

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    around = [];
    for (let one = document.activeElement; one && detail.target.contains(one); one = one.parentElement) {
      if (one.id && one !== detail.target) around.push(one.id);
    }
  });

  document.addEventListener("htmx:afterSettle", () => {
    if (document.activeElement !== document.body) return;
    const places = around.map((id) => document.getElementById(id)).filter(Boolean);
    const next = (one) => (one.matches(FOCUSABLE) ? one : one.querySelector("[data-outcome]") ?? one.querySelector(FOCUSABLE));
    const control = places.map(next).find(Boolean);
    control?.focus({ preventScroll: true });
  });
})();
