// Buttons that become usable at a moment: <button aria-disabled="true" data-available-at data-server-now
// data-waiting-label="Resend email (available in {time})" data-ready-label>. The server's clock counts, and decides.
(() => {
  "use strict";
  const offsets = new WeakMap(); // element -> how far the server's clock is ahead of ours, in milliseconds

  function clock(seconds) {
    const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  }

  function release(button) {
    button.firstChild.data = button.dataset.readyLabel;
    button.removeAttribute("aria-disabled");
    delete button.dataset.availableAt;
    const announcer = document.getElementById("announcer");
    if (announcer) announcer.textContent = button.textContent;
  }

  function tick(button) {
    if (!offsets.has(button)) offsets.set(button, Date.parse(button.dataset.serverNow) - Date.now());
    const left = Date.parse(button.dataset.availableAt) - (Date.now() + offsets.get(button));
    if (left <= 0) release(button);
    else button.firstChild.data = button.dataset.waitingLabel.replace("{time}", clock(Math.ceil(left / 1000)));
  }

  function tickAll() {
    document.querySelectorAll("[data-available-at]").forEach(tick);
  }

  document.addEventListener("DOMContentLoaded", tickAll);
  document.addEventListener("htmx:afterSwap", tickAll);
  setInterval(tickAll, 1000);
})();
