// Operators' pages: a part of the page that is fetched again, and rows that are ticked.
"use strict";

// ---- #live is fetched again when the server says that something has failed, went down or was replayed (web/desk/live.py), and every
// data-refresh seconds, for what nobody says; not while something in it is ticked, open or written in, or nobody looks.
const live = document.getElementById("live");
const busy = () => document.hidden || document.querySelector("dialog[open], main details[open], main input:checked[name=ids]") ||
  live.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
let nextRefresh = 0;
let isRefreshing = false, again = false; // an answer that took long must not replace a newer one

function refreshIn(seconds) {
  clearTimeout(nextRefresh);
  nextRefresh = seconds ? setTimeout(refresh, seconds * 1000) : 0;
}

async function refresh() {
  nextRefresh = 0;
  if (isRefreshing) { again = true; return; }
  isRefreshing = true;
  again = false;
  if (!busy()) await fetchLive();
  isRefreshing = false;
  if (!nextRefresh) refreshIn(again ? 0.3 : live.dataset.refresh); // else something has failed since it was asked for
}

async function fetchLive() {
  const answer = await ask(location.href);
  if (answer?.status === 401 || answer?.redirected) { location.reload(); return; }
  const text = answer?.ok ? await answer.text().catch(() => "") : "";
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
  if (fresh && !busy()) replace(fresh);
}

// What had the focus has it again.
function replace(fresh) {
  const place = live.contains(document.activeElement) ? placeOf(document.activeElement) : "";
  const before = wordsOf(live);
  live.replaceChildren(...fresh.childNodes);
  movedOn(before, live);
  if (fresh.dataset.refresh) live.dataset.refresh = fresh.dataset.refresh;
  else delete live.dataset.refresh;
  backTo(place, live, document.getElementById("main"));
  tellTimes();
}
refreshIn(live?.dataset.refresh);
if (live?.dataset.refresh && live.dataset.events) {
  let isFirst = true; // a new stream is told at once; after one that broke, something may have been missed
  listen(live.dataset.events, {
    failures: () => {
      if (!isFirst && live.dataset.refresh) refreshIn(0.3);
      isFirst = false;
    },
  });
}

// ---- Ticking
const failures = document.getElementById("failures");
if (failures) {
  const boxes = () => [...failures.querySelectorAll("input[name=ids]")];
  const count = () => {
    const ticked = boxes().filter(box => box.checked).length;
    const output = document.getElementById("ticked");
    if (output) output.textContent = ticked;
    failures.querySelector(`[name=which][value=${ticked ? "ticked" : "all"}]`)?.click();
    const all = document.getElementById("tick-all");
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  };
  failures.addEventListener("change", event => {
    if (event.target.id === "tick-all") for (const box of boxes()) box.checked = event.target.checked;
    if (event.target.id === "tick-all" || event.target.name === "ids") count();
  });
  // Of all that match, the ids of this page are not said.
  failures.addEventListener("submit", () => {
    if (failures.querySelector("[name=which][value=all]")?.checked) for (const box of boxes()) box.checked = false;
  });
  deskKeys.add("x", failures.dataset.tick, () => {
    const box = failures.querySelector(".is-current-row input[name=ids]");
    if (box) { box.checked = !box.checked; count(); }
  });
}
