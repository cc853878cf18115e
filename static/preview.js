// The Branding page: what is typed is seen in the previews, and said to be unsaved. A preview is a frame that is asked for
// with the look of the form #look; the one before stays in sight until it is there, and leaves its place to it.
(() => {
  "use strict";
  const WIDTHS = { phone: 360, desktop: 1120 };
  const [preview, form, look] = ["preview", "branding", "look"].map((id) => document.getElementById(id));
  const [accent, picked, logo, unsaved] = ["accent", "picked", "logo", "unsaved"].map((id) => document.getElementById(id));
  const boxes = [...preview.querySelectorAll(".gh-preview")];
  const drawn = new WeakMap(); // box -> what it shows
  const saved = unsaved.textContent ? null : written();
  let frames = 0;
  let logos = 0, logosSent = 0;

  function written() {
    return JSON.stringify([...new FormData(form)].map(([name, value]) => [name, value.name ?? value]));
  }

  // ── Frames ──

  function draw() {
    const { what } = preview.dataset;
    const asked = `${what} ${new URLSearchParams(new FormData(look))}`;
    for (const box of boxes) {
      if (!box.offsetParent || drawn.get(box) === asked) continue;
      drawn.set(box, asked);
      load(box, what);
    }
  }

  function load(box, what) {
    const frame = box.lastElementChild.cloneNode();
    frame.name = `preview-${frames += 1}`;
    frame.title = box.dataset[what === "mail" ? "titleMail" : "titlePage"];
    frame.dataset.what = what;
    frame.addEventListener("load", () => arrived(frame));
    box.append(frame);
    look.action = preview.dataset[what];
    look.target = frame.name;
    look.elements.scheme.value = box.closest("figure").dataset.scheme;
    HTMLFormElement.prototype.submit.call(look);
    look.elements.scheme.value = "light";
  }

  function arrived(frame) {
    const page = frame.contentDocument;
    if (page?.URL === "about:blank") return; // what every frame begins with
    if (!page) { // refused: what was there stays
      drawn.delete(frame.parentElement);
      frame.remove();
      return;
    }
    measure(frame);
    for (let before = frame.previousElementSibling; before; before = frame.previousElementSibling) {
      const { scrollY: top } = before.contentWindow;
      if (before.dataset.what === frame.dataset.what) frame.contentWindow.scrollTo({ top, behavior: "instant" });
      if (document.activeElement === before) frame.focus({ preventScroll: true });
      before.remove();
    }
  }

  function fit() {
    for (const box of boxes) {
      const zoom = Math.min(1, box.clientWidth / WIDTHS[preview.dataset.size]);
      if (zoom > 0) box.style.setProperty("--gh-zoom", zoom);
      measure(box.firstElementChild);
    }
  }

  // How long its page is, for a box as long as that; a frame is never shorter than what it is shown in, so that it is first let shrink
  function measure(frame) {
    const page = frame.contentDocument?.documentElement, box = frame.parentElement;
    if (!page || !box.offsetParent) return;
    const top = page.scrollTop;
    box.style.setProperty("--gh-long", "0px");
    box.style.setProperty("--gh-long", `${page.scrollHeight}px`);
    page.scrollTop = top;
  }

  // The switches stand as they stood when the page was last left, as after a save that was refused
  function remember() {
    const { what, size, scheme } = preview.dataset;
    sessionStorage.setItem("preview", JSON.stringify({ what, size, scheme }));
  }

  function turn(name, value) {
    preview.dataset[name] = value;
    for (const each of preview.querySelectorAll(`[data-switch="${name}"] button`)) {
      each.setAttribute("aria-pressed", String(each.value === value));
    }
  }

  preview.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-switch] button");
    if (!button) return;
    turn(button.parentElement.dataset.switch, button.value);
    remember();
    fit();
    draw();
  });

  // ── What is typed ──

  form.addEventListener("input", ({ target }) => {
    if (target === picked) accent.value = picked.value;
    if (target === accent && /^#?[0-9a-f]{6}$/i.test(accent.value.trim())) {
      picked.value = `#${accent.value.trim().replace("#", "").toLowerCase()}`;
    }
    if (target === logo) logos += 1;
    const isSaved = written() === saved;
    unsaved.textContent = isSaved ? "" : form.dataset.unsaved;
    warn(!isSaved);
  });

  // Who leaves with something unsaved is asked by the browser first
  function warn(isUnsaved) {
    (isUnsaved ? addEventListener : removeEventListener)("beforeunload", keep);
  }

  function keep(event) {
    event.preventDefault();
    setTimeout(() => dispatchEvent(new Event("gh:stays"))); // whoever leaves does not see it
  }

  form.addEventListener("submit", () => warn(false));

  // A file goes along when it is another one, not with every letter that is typed
  look.addEventListener("htmx:configRequest", ({ detail }) => {
    if (logos === logosSent) detail.formData.delete("logo");
    else detail.formData.set("logo_changed", String(logos));
  });

  look.addEventListener("htmx:afterRequest", ({ detail }) => {
    const { formData } = detail.requestConfig;
    if ([200, 422].includes(detail.xhr.status) && formData.has("logo_changed")) logosSent = Number(formData.get("logo_changed"));
  });

  document.addEventListener("htmx:afterSettle", ({ target }) => {
    if (look.contains(target)) draw();
  });

  for (const [name, value] of Object.entries(JSON.parse(sessionStorage.getItem("preview") ?? "{}"))) turn(name, value);
  warn(saved === null);
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(preview);
  fit();
  draw();
})();
