// Parts that ask for themselves every few seconds (hx-trigger="every …"): they change only when there is something new,
// and never under somebody's hands. htmx itself keeps the focus of elements that have an id.
(() => {
  "use strict";
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
  const shown = new WeakMap(); // element -> the answer it was made of
  let composing = false;
  let kept = null;

  // What differs between two answers that show the same: the form's token, and how a countdown stood
  const essence = (html) => html
    .replace(/(name="csrf_token" value=)"[^"]*"/g, "$1")
    .replace(/data-server-now="[^"]*"/g, "")
    .replace(/(data-waiting-label="[^"]*">)[^<]*/g, "$1");

  const isPoll = (detail) => detail.requestConfig?.headers["X-Poll"] === "1";

  function inUse(target) {
    // A mistake that is pointed out stays, with what was typed, until it is mended.
    return composing || target.querySelector("[aria-busy='true'], .dropdown-menu.show, [aria-invalid='true']") !== null;
  }

  function changedFields(target) {
    const fields = [...target.querySelectorAll("input[id], textarea[id]")];
    return fields
      .filter((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked)
      .map(({ id, value, checked, selectionStart, selectionEnd }) => ({ id, value, checked, selectionStart, selectionEnd }));
  }

  // For what has no id of its own: what it is, what it says, and where
  const signature = (element) => [element.tagName, element.textContent, element.parentElement.closest("[id]")?.id].join("|");

  // What the eye rests on: where the focus is, else the first thing with an id that can be seen
  function anchorOf(target) {
    const focused = target.contains(document.activeElement) ? document.activeElement.closest("[id]") : null;
    const shownFirst = () => [...target.querySelectorAll("[id]")].find((one) => one.getBoundingClientRect().top >= 0);
    const anchor = focused && focused !== target ? focused : shownFirst();
    return anchor && { id: anchor.id, top: anchor.getBoundingClientRect().top };
  }

  function keep(target) {
    return {
      anchor: anchorOf(target),
      id: target.id,
      open: [...target.querySelectorAll("details[id][open]")].map(({ id }) => id),
      fields: changedFields(target),
      focus: target.contains(document.activeElement) ? signature(document.activeElement) : null,
    };
  }

  function refill({ id, value, checked, selectionStart, selectionEnd }) {
    const field = document.getElementById(id);
    if (!field || field.type === "file") return;
    field.value = value;
    field.checked = checked;
    if (field === document.activeElement && selectionStart !== null) field.setSelectionRange?.(selectionStart, selectionEnd);
  }

  function restore(root, { open, fields, focus, anchor }) {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focus && !root.contains(document.activeElement)) {
      const same = [...root.querySelectorAll(FOCUSABLE)].filter((element) => signature(element) === focus);
      if (same.length === 1) same[0].focus({ preventScroll: true }); // never a neighbour that does something else
    }
    fields.forEach(refill);
    steady(anchor);
  }

  // What changed above must not push it away
  function steady(anchor) {
    const moved = anchor && document.getElementById(anchor.id)?.getBoundingClientRect().top - anchor.top;
    if (moved) scrollBy({ top: moved, behavior: "instant" });
  }

  document.addEventListener("compositionstart", () => { composing = true; });
  document.addEventListener("compositionend", () => { composing = false; });

  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const repeats = /\bevery\b/.test(detail.elt.getAttribute("hx-trigger") ?? "");
    if (repeats && !detail.triggeringEvent) detail.headers["X-Poll"] = "1"; // such a request keeps no session awake
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isPoll(event.detail) && document.hidden) event.preventDefault();
  });

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (!isPoll(detail) || !detail.shouldSwap) return;
    const { target } = detail;
    if (shown.get(target) === essence(detail.serverResponse) || inUse(target)) detail.shouldSwap = false;
    else kept = keep(target);
  });

  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (!kept || !isPoll(detail)) return;
    const root = document.getElementById(kept.id);
    if (root) {
      shown.set(root, essence(detail.xhr.response));
      restore(root, kept);
    }
  });

  document.addEventListener("htmx:afterSettle", ({ detail }) => {
    if (!kept || !isPoll(detail)) return;
    steady(kept.anchor); // htmx gives elements that had a namesake their new attributes only now
    kept = null;
  });
})();
