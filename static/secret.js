// Show what a password field holds: <button hidden data-secret="field-id" data-hide-label="Hide">Show</button>
(() => {
  "use strict";

  function reveal() {
    for (const button of document.querySelectorAll("[data-secret][hidden]")) button.hidden = false; // useless without a script
  }

  document.addEventListener("DOMContentLoaded", reveal);
  document.addEventListener("htmx:afterSwap", reveal);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-secret]");
    if (!button) return;
    const field = document.getElementById(button.dataset.secret);
    const showing = field.type === "text";
    button.dataset.showLabel ??= button.firstChild.data;
    field.type = showing ? "password" : "text";
    button.firstChild.data = showing ? button.dataset.showLabel : button.dataset.hideLabel;
  });
})();
