// Toasts: said by the page itself, or sent by the server as an event: HX-Trigger: {"toast": {"items": [{title, text, kind, …}]}}
(() => {
  "use strict";
  const SECONDS = 10; // what went well leaves by itself; what did not stays until it is dismissed

  function show({ title, text = "", kind = "done", link_url: url = "", link_label: label = "" }) {
    const region = document.getElementById("toasts");
    const template = document.querySelector(`template[data-toast="${["done", "queued", "note"].includes(kind) ? kind : "error"}"]`);
    if (!region || !template) return;
    const toast = template.content.firstElementChild.cloneNode(true);
    const [strong, paragraph, link] = [toast.querySelector("strong"), toast.querySelector("p"), toast.querySelector("p a")];
    strong.append(...breakable(title));
    if (url) Object.assign(link, { href: url, textContent: label });
    else link.remove();
    paragraph.prepend(...breakable(text));
    if (!text && !url) paragraph.remove();
    region.append(toast);
    expire(toast);
  }

  // An address goes on in the next line after its @, not within a word
  function breakable(text) {
    return text.split("@").flatMap((part, number) => (number ? ["@", document.createElement("wbr"), part] : [part]));
  }

  function expire(toast) {
    if (toast.dataset.kind === "error" || toast.querySelector("a")) return;
    const leave = () => {
      if (toast.matches(":hover, :focus-within")) setTimeout(leave, 2000);
      else toast.remove();
    };
    setTimeout(leave, SECONDS * 1000);
  }

  function say(name) {
    const words = document.getElementById("toasts")?.dataset;
    if (words) show({ title: words[`${name}Title`], text: words[`${name}Text`], kind: "error" });
  }

  const isPoll = (detail) => detail.requestConfig?.headers["X-Poll"] === "1";

  document.addEventListener("toast", ({ detail }) => detail.items.forEach(show));
  document.addEventListener("click", (event) => event.target.closest(".toast .btn-close")?.closest(".toast").remove());
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".toast").forEach(expire));
  document.addEventListener("htmx:sendError", ({ detail }) => isPoll(detail) || say("offline"));
  document.addEventListener("htmx:responseError", ({ detail }) => {
    if (!isPoll(detail) && !detail.xhr.getResponseHeader("HX-Trigger")) say("failed");
  });
})();
