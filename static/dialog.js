// The one dialog of the panel: whatever arrives in #dialog-content is shown; the event close-dialog closes it.
(() => {
  "use strict";
  const FIRST = [
    "[aria-invalid='true']",
    "[autofocus]",
    ".modal-body :is(input:not([type='hidden']), select, textarea)",
    ".modal-footer button",
  ];
  let opener = null;

  const dialog = () => document.getElementById("dialog");
  const modal = () => bootstrap.Modal.getOrCreateInstance(dialog());

  function focusFirst() {
    const content = document.getElementById("dialog-content");
    FIRST.map((selector) => content.querySelector(selector)).find(Boolean)?.focus();
  }

  function describe() {
    const text = document.querySelector("#dialog [data-dialog-text]");
    if (text) dialog().setAttribute("aria-describedby", text.id);
    else dialog().removeAttribute("aria-describedby");
  }

  document.addEventListener("htmx:beforeRequest", ({ detail, target }) => {
    if (detail.target?.id !== "dialog-content" || target.closest("#dialog")) return;
    opener = target.closest(".dropdown")?.querySelector("[data-bs-toggle]") ?? target; // an item hides with its menu
  });

  document.addEventListener("htmx:afterSettle", ({ target }) => {
    if (target.id !== "dialog-content") return;
    describe();
    if (dialog().classList.contains("show")) focusFirst();
    else modal().show();
  });

  document.addEventListener("shown.bs.modal", (event) => event.target.id === "dialog" && focusFirst());
  document.addEventListener("hide.bs.modal", () => document.activeElement?.blur()); // nothing hidden may hold the focus
  document.addEventListener("close-dialog", () => modal().hide());

  // Back to where it was opened from; a part that updated meanwhile has a new button of the same id
  document.addEventListener("hidden.bs.modal", (event) => {
    if (event.target.id !== "dialog" || !opener) return;
    const back = opener.isConnected ? opener : document.getElementById(opener.id);
    (back ?? document.getElementById("main")).focus({ preventScroll: true });
    opener = null;
  });
})();
