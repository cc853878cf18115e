// A form that came back with errors: the first wrong field takes the focus.
(() => {
  "use strict";
  const WRONG = "[aria-invalid='true']";

  document.addEventListener("DOMContentLoaded", () => document.querySelector(WRONG)?.focus());

  document.addEventListener("htmx:afterSettle", ({ detail, target }) => {
    if (detail.xhr?.status === 422) target.querySelector(WRONG)?.focus();
  });
})();
