// A menu that closes because something in it was chosen gives the focus back to its button, which stays through updates.
document.addEventListener("click", ({ target }) => {
  const menu = target.closest(".dropdown-menu");
  menu?.parentElement.querySelector("[data-bs-toggle='dropdown']")?.focus({ preventScroll: true });
});
