// Press once: a pressed button says that it works (aria-busy), and a second press is swallowed, with htmx or without.
// A button with aria-disabled="true" can be reached and read, but does nothing.
(() => {
  "use strict";
  const SHUT = "[aria-busy='true'], [aria-disabled='true']";

  function swallow(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function buttonOf(detail) {
    const submitter = detail.requestConfig.triggeringEvent?.submitter;
    if (submitter) return submitter;
    return detail.elt.matches("button, .btn") ? detail.elt : null;
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("button, .btn")?.matches(SHUT)) swallow(event);
  }, true);

  document.addEventListener("submit", (event) => {
    if (event.target.dataset.busy || event.submitter?.matches(SHUT)) swallow(event);
  }, true);

  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return; // htmx sends it
    event.target.dataset.busy = "true";
    event.submitter?.setAttribute("aria-busy", "true");
  });

  document.addEventListener("htmx:beforeSend", (event) => {
    const { elt } = event.detail;
    if (elt.matches("form")) elt.dataset.busy = "true";
    buttonOf(event.detail)?.setAttribute("aria-busy", "true");
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const { elt, xhr } = event.detail;
    if (xhr?.getResponseHeader("HX-Redirect")) return; // the page is on its way out
    delete elt.dataset.busy;
    buttonOf(event.detail)?.removeAttribute("aria-busy");
  });

  function release() {
    for (const form of document.querySelectorAll("form[data-busy]")) delete form.dataset.busy;
    for (const button of document.querySelectorAll("[aria-busy='true']")) button.removeAttribute("aria-busy");
  }

  // Back from the next page: the browser shows this one as it was left. Or who was asked whether to leave stays.
  addEventListener("pageshow", (event) => {
    if (event.persisted) release();
  });
  addEventListener("gh:stays", release);
})();
