// A form that came back with errors: the first wrong field takes the focus. Errors may come alone too, for fields that stay.
(() => {
  "use strict";
  const WRONG = "[aria-invalid='true']";
  const PRESSED_FOR = ["click", "submit"];

  document.addEventListener("DOMContentLoaded", () => document.querySelector(WRONG)?.focus());

  document.addEventListener("htmx:afterSettle", ({ detail, target }) => {
    const problems = document.querySelectorAll("[data-problem-of]");
    problems.forEach(mark);
    if (detail.xhr?.status !== 422) return;
    const isPressed = problems.length && PRESSED_FOR.includes(detail.requestConfig?.triggeringEvent?.type);
    (isPressed ? document : target).querySelector(WRONG)?.focus();
  });

  function mark(problem) {
    const control = document.getElementById(problem.dataset.problemOf);
    const isWrong = problem.firstElementChild !== null;
    const described = new Set((control.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
    described[isWrong ? "add" : "delete"](`${control.id}-error`);
    if (described.size) control.setAttribute("aria-describedby", [...described].join(" "));
    else control.removeAttribute("aria-describedby");
    control.classList.toggle("is-invalid", isWrong);
    if (isWrong) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
})();
