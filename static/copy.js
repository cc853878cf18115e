// <button data-copy="text" data-copied-label="Copied">Copy</button>
(() => {
  "use strict";

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || button.dataset.label) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      return; // not allowed here: the text stands beside the button to be copied by hand
    }
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.copiedLabel;
    const announcer = document.getElementById("announcer");
    if (announcer) announcer.textContent = button.dataset.copiedLabel;
    setTimeout(() => {
      button.textContent = button.dataset.label;
      delete button.dataset.label;
    }, 2000);
  });
})();
