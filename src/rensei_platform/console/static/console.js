// Live pages: what is marked data-live is fetched again when the server says so. Without this
// script every page works the same, and is as old as when it was loaded.
"use strict";
(() => {
  const link = document.querySelector("[data-from-fragment]");
  if (link && location.hash.length > 1) {
    link.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  const RETRY = 5000; // milliseconds
  if (document.querySelector("[data-again]")) {
    const again = async () => {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.status !== 503) { location.reload(); return; }
      } catch { /* The server itself is away. */ }
      setTimeout(again, RETRY);
    };
    setTimeout(again, RETRY);
  }
  const url = document.body.dataset.events;
  if (!url || !document.querySelector("[data-live]")) return;

  const sign = document.getElementById("live"), warning = document.getElementById("not-live");
  let source = null, isFetching = false, isStale = false, timer = 0, reopening = 0;

  const show = (isLive) => { sign.hidden = !isLive; warning.hidden = isLive; };

  const replace = (fresh) => {
    const focused = document.activeElement && document.activeElement.id;
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(old.id);
      const isOpen = old.querySelector("details[open]");
      if (next && !isOpen && next.innerHTML !== old.innerHTML) {
        old.replaceChildren(...next.childNodes);
      }
    }
    if (focused && document.activeElement === document.body) {
      const again = document.getElementById(focused);
      if (again) again.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    if (isFetching) { isStale = true; return; }
    isFetching = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) { location.reload(); return; }
      if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (source) show(answer.ok && source.readyState === EventSource.OPEN);
    } catch { /* The next event or the clock tries again. */ } finally {
      isFetching = false;
      if (isStale) { isStale = false; refresh(); }
    }
  };

  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(url);
    source.addEventListener("open", () => {
      if (!warning.hidden) refresh(); // what happened meanwhile
      show(true);
    });
    source.addEventListener("change", refresh);
    source.addEventListener("end", () => { close(); refresh(); });
    source.addEventListener("error", () => {
      show(false);
      // A browser gives up if the answer is no stream, as while the database is away.
      if (source.readyState === EventSource.CLOSED) {
        close();
        show(false);
        reopening = setTimeout(open, RETRY);
      }
    });
    timer = setInterval(refresh, 30000);
  };
  const close = () => {
    clearTimeout(reopening);
    if (!source) return;
    source.close();
    source = null;
    sign.hidden = warning.hidden = true;
    clearInterval(timer);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); } else { open(); refresh(); }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();
