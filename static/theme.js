// System, light or dark: kept in this browser, and in force before anything is drawn (so this file is not deferred).
(() => {
  "use strict";
  const KEY = "gh-theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system"; // storage can be switched off
    }
  }

  function apply(choice) {
    if (choice === "light" || choice === "dark") root.dataset.bsTheme = choice;
    else delete root.dataset.bsTheme;
  }

  function mark() {
    const choice = stored();
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", mark);
  addEventListener("storage", (event) => {
    if (event.key !== KEY) return;
    apply(stored());
    mark();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    try {
      localStorage.setItem(KEY, button.dataset.themeChoice);
    } catch {
      // it then holds for this page
    }
    apply(button.dataset.themeChoice);
    mark();
  });
})();
