// Recipient's address: members to choose from, and any well-formed address under “Other” (ARIA APG, editable combobox
// with list autocomplete). The list stands in the flow of the form. Markup: components/combobox.html.
(() => {
  "use strict";
  const ADDRESS = /^[^\s@<>"(),;:\\]+@[^\s@.]+(\.[^\s@.]+)+$/;

  const listOf = (input) => document.getElementById(input.getAttribute("aria-controls"));
  const isShown = (option) => !option.closest("[role='option'][hidden], [role='group'][hidden]");
  const shownOptions = (list) => [...list.querySelectorAll("[role='option']")].filter(isShown);
  const isOpen = (input) => input.getAttribute("aria-expanded") === "true";

  function filter(input) {
    const list = listOf(input);
    const typed = input.value.trim().toLowerCase();
    const [members, other] = [list.querySelector("[data-members]"), list.querySelector("[data-other]")];
    const options = [...(members?.querySelectorAll("[role='option']") ?? [])];
    const exact = options.some((option) => option.dataset.value.toLowerCase() === typed);
    for (const option of options) {
      option.hidden = !exact && !option.textContent.toLowerCase().includes(typed);
    }
    if (members) members.hidden = options.every((option) => option.hidden);
    const [option] = other.querySelectorAll("[role='option']");
    other.hidden = exact || !ADDRESS.test(typed);
    option.dataset.value = input.value.trim();
    option.firstElementChild.textContent = option.dataset.value;
  }

  function activate(input, option) {
    for (const one of listOf(input).querySelectorAll("[role='option']")) {
      one.setAttribute("aria-selected", String(one === option));
    }
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  function open(input) {
    filter(input);
    const options = shownOptions(listOf(input));
    listOf(input).hidden = options.length === 0;
    input.setAttribute("aria-expanded", String(options.length > 0));
    const typed = input.value.trim().toLowerCase();
    activate(input, options.find((option) => typed && option.dataset.value.toLowerCase() === typed));
  }

  function close(input) {
    listOf(input).hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(input, option) {
    input.value = option.dataset.value;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    close(input);
  }

  function move(input, by) {
    if (!isOpen(input)) {
      open(input);
      return;
    }
    const options = shownOptions(listOf(input));
    const now = options.findIndex((option) => option.id === input.getAttribute("aria-activedescendant"));
    const next = now < 0 && by < 0 ? options.length - 1 : (now + by + options.length) % options.length;
    activate(input, options[next]);
  }

  const keys = {
    ArrowDown: (input) => (move(input, 1), true),
    ArrowUp: (input) => (move(input, -1), true),
    Enter(input) {
      const option = isOpen(input) && document.getElementById(input.getAttribute("aria-activedescendant"));
      if (!option) return false;
      choose(input, option);
      return true;
    },
    Escape(input) {
      if (!isOpen(input)) return false; // the dialog's turn
      close(input);
      return true;
    },
  };

  // The list stands in the flow: closing it moves what is below, which must wait until a press there is over
  let pressing = false;
  let left = null;

  function leave(input) {
    if (pressing) left = input;
    else close(input);
  }

  function release() {
    pressing = false;
    setTimeout(() => {
      if (left && left !== document.activeElement) close(left);
      left = null;
    });
  }

  const comboboxOf = (target) => (target instanceof Element && target.matches("[data-combobox]") ? target : null);

  document.addEventListener("focusin", ({ target }) => comboboxOf(target) && open(target));
  document.addEventListener("focusout", ({ target }) => comboboxOf(target) && leave(target));
  document.addEventListener("pointerdown", () => { pressing = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release, true);
  document.addEventListener("input", ({ target }) => comboboxOf(target) && open(target));
  document.addEventListener("click", ({ target }) => comboboxOf(target) && !isOpen(target) && open(target));
  document.addEventListener("keydown", (event) => {
    const input = comboboxOf(event.target);
    if (!input || event.isComposing || !keys[event.key]?.(input)) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  document.addEventListener("mousedown", (event) => {
    const option = event.target.closest("[data-combobox-list] [role='option']");
    if (!option) return;
    event.preventDefault(); // the field keeps the focus
    choose(document.querySelector(`[aria-controls="${option.closest("[role='listbox']").id}"]`), option);
  });
})();
