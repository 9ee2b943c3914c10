// The part of a page that changes is asked for again every second while the page can be seen: of the dashboard's own process,
// which looks at the store once a second however many pages ask. Without scripts the page loads itself again every 10 seconds.
"use strict";
{
  const live = document.getElementById("live");
  let tag = "", wait = 1000;

  const replaced = (html) => {
    const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const open = Array.from(live.querySelectorAll("details"), (one) => one.open);
    live.innerHTML = html;
    live.querySelectorAll("details").forEach((one, index) => { one.open = open[index] || false; });
    if (focused !== null) {
      for (const link of live.querySelectorAll("a")) {
        if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
      }
    }
  };

  const look = async () => {
    if (document.visibilityState === "visible") {
      try {
        const answer = await fetch(live.dataset.from, { headers: tag ? { "If-None-Match": tag } : {}, redirect: "manual", cache: "no-store" });
        if (answer.type === "opaqueredirect") { location.reload(); return; }
        if (answer.status === 200) { tag = answer.headers.get("ETag") || ""; replaced(await answer.text()); }
        live.classList.remove("away");
        wait = 1000;
      } catch {
        live.classList.add("away");
        wait = Math.min(wait * 2, 30000);
      }
    }
    setTimeout(look, wait);
  };
  setTimeout(look, wait);
}
