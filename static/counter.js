// “56 of 256” beneath a text that has a greatest length: <p data-counter-for="id" data-counter-text="{count} of {max}">
(() => {
  "use strict";

  function update(counter) {
    const field = document.getElementById(counter.dataset.counterFor);
    if (!field) return;
    const count = [...field.value].length; // characters, as the server counts, not UTF-16 units
    counter.textContent = counter.dataset.counterText.replace("{count}", count).replace("{max}", counter.dataset.counterMax);
  }

  document.addEventListener("input", (event) => {
    const counter = event.target.id && document.querySelector(`[data-counter-for="${CSS.escape(event.target.id)}"]`);
    if (counter) update(counter);
  });
  addEventListener("pageshow", () => document.querySelectorAll("[data-counter-for]").forEach(update));
})();
