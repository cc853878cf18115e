// Keeps “2 hours ago” true while the page stands, and puts the absolute time in the viewer's own zone.
// <time datetime data-relative>; app/i18n.py writes the same words first.
(() => {
  "use strict";
  const MINUTE = 60, HOUR = 3600, DAY = 86400;
  const tag = document.documentElement.lang;
  const locale = tag === "en" ? "en-GB" : tag;
  const words = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
  const dayWords = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const date = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
  const shortDate = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long" });
  const clock = new Intl.DateTimeFormat(locale, {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });

  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());

  function relative(at, now) {
    const span = Math.abs(at - now) / 1000;
    const sign = at > now ? 1 : -1;
    const minutes = Math.floor(span / MINUTE + 0.5);
    if (minutes < 60) return words.format(sign * minutes, "minute");
    const hours = Math.floor(span / HOUR + 0.5);
    if (hours < 24) return words.format(sign * hours, "hour");
    const days = Math.max(1, Math.round(Math.abs(midnight(at) - midnight(now)) / 1000 / DAY));
    if (days < (sign > 0 ? 30 : 7)) return dayWords.format(sign * days, "day");
    return (at.getFullYear() === now.getFullYear() ? shortDate : date).format(at);
  }

  function update(time) {
    const at = new Date(time.dateTime);
    const now = new Date();
    if (Number.isNaN(at.getTime())) return;
    const absolute = `${date.format(at)}, ${clock.format(at)}`;
    const [text, hidden] = time.childNodes;
    if (Math.abs(at - now) >= MINUTE * 1000) text.data = relative(at, now); // under a minute the server's words hold
    time.title = absolute;
    if (hidden) hidden.textContent = ` (${absolute})`;
  }

  function updateAll() {
    document.querySelectorAll("time[data-relative]").forEach(update);
  }

  document.addEventListener("DOMContentLoaded", updateAll);
  document.addEventListener("htmx:afterSwap", updateAll);
  setInterval(updateAll, 30_000);
})();
