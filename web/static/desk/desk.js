// What all pages of the desk share: dialogs, copying, times in the reader's zone, "show more", and a lost connection.
"use strict";

// The answer to a form that was refused has the form's address, which opens no page: it gets that of the page with the form. So it is
// loaded anew, led back to after a login, and sent to a colleague.
if (document.body.dataset.page) history.replaceState(history.state, "", document.body.dataset.page);

document.addEventListener("click", event => {
  const target = event.target.closest("[data-opens], [data-close], [data-copy], [data-select], [data-more]");
  if (!target) return;
  if (target.dataset.opens) openDialog(document.getElementById(target.dataset.opens));
  if ("close" in target.dataset) target.closest("dialog")?.close();
  if ("select" in target.dataset) target.select();
  if (target.dataset.copy) copy(target);
  if (target.dataset.more) {
    event.preventDefault();
    showMore(target);
  }
});

// Whether a key goes to an input method, as the Enter that takes a word. Safari has ended the word before it tells of that key.
const isComposing = event => event.isComposing || event.keyCode === 229;

// ---- A form is sent once: what is pressed twice would be done twice. After a while it may be sent again, for what was sent is lost by
// then; and so may all forms of a page to which the browser came back. Without a connection it stays as it is: the browser would put
// its own page of an error in this one's place.
const SENDING = 15_000;
function release(form) {
  form.removeAttribute("aria-busy");
  form.dispatchEvent(new CustomEvent("desk:released"));
}
document.addEventListener("submit", event => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (isLost || !navigator.onLine) { event.preventDefault(); lost(document.body.dataset.kept); return; }
  if (form.hasAttribute("aria-busy")) { event.preventDefault(); return; }
  form.setAttribute("aria-busy", "true");
  setTimeout(release, SENDING, form);
});
addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach(release));

// A page to which the browser came back says in its filters what it shows, and not what was chosen there to leave it.
addEventListener("pageshow", ({ persisted }) => {
  const isBack = persisted || performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  if (isBack) for (const form of document.forms) if (form.method === "get") form.reset();
});

// ---- Whoever goes by keys keeps the place: what had the focus has it again after a form has loaded its page anew, and after a part of
// the page was replaced. What is gone by then (a button that was pressed) leaves it to the page's content, not to its menu.
const PLACE = "desk focus";
function placeOf(element) {
  if (!element || element === document.body) return "";
  const dialog = element.closest("dialog");
  if (dialog) return `[data-opens="${CSS.escape(dialog.id)}"]`;
  if (element.id) return `#${CSS.escape(element.id)}`;
  for (const name of ["href", "data-improve", "data-key"]) {
    if (element.hasAttribute(name)) return `${element.localName}[${name}="${CSS.escape(element.getAttribute(name))}"]`;
  }
  const action = element.closest("form")?.getAttribute("action");
  return action ? `form[action="${CSS.escape(action)}"] ${element.localName}${element.name ? `[name="${CSS.escape(element.name)}"]` : ""}` : "";
}
function backTo(place, within, otherwise) {
  if (!place || document.activeElement !== document.body) return;
  const found = within.querySelector(place);
  (found?.checkVisibility() ? found : otherwise)?.focus({ preventScroll: true });
}
document.addEventListener("submit", event => {
  if (event.target.method === "post") sessionStorage.setItem(PLACE, JSON.stringify({ page: location.pathname, place: placeOf(document.activeElement) }));
});
addEventListener("DOMContentLoaded", () => { // the page's own scripts have run, and may have found a better place
  const { page, place } = JSON.parse(sessionStorage.getItem(PLACE) ?? "{}");
  sessionStorage.removeItem(PLACE);
  if (page === location.pathname) backTo(place, document, document.getElementById("main"));
});
// At once, in the task that replaced it: a key that is pressed a moment later finds the focus, and so does the next part that is replaced.
let placeInSwap = "";
document.addEventListener("htmx:beforeSwap", event => {
  placeInSwap = event.detail.target.contains(document.activeElement) ? placeOf(document.activeElement) : "";
});
document.addEventListener("htmx:afterSwap", () => {
  backTo(placeInSwap, document, document.getElementById("bubbles") ?? document.getElementById("main"));
  placeInSwap = "";
});

// ---- Words that are selected stay so when the part around them is drawn anew: they are to be copied, while messages arrive.
function placeOfEnd(node, offset) {
  const around = (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement).closest("[id]");
  const before = new Range();
  before.setStart(around, 0);
  before.setEnd(node, offset);
  return { id: around.id, characters: before.toString().length };
}
function endAt({ id, characters }) {
  const around = document.getElementById(id);
  const texts = around && document.createTreeWalker(around, NodeFilter.SHOW_TEXT);
  for (let left = characters; texts?.nextNode(); left -= texts.currentNode.length) {
    if (left <= texts.currentNode.length) return [texts.currentNode, left];
  }
  return null;
}
let selected = null;
document.addEventListener("htmx:beforeSwap", event => {
  const chosen = getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = chosen;
  const isInside = !chosen.isCollapsed && [anchorNode, focusNode].every(node => event.detail.target.contains(node));
  selected = isInside ? { words: String(chosen), ends: [placeOfEnd(anchorNode, anchorOffset), placeOfEnd(focusNode, focusOffset)] } : null;
});
document.addEventListener("htmx:afterSwap", () => {
  const ends = selected?.ends.map(endAt);
  if (!ends?.every(Boolean)) return;
  getSelection().setBaseAndExtent(...ends[0], ...ends[1]);
  if (String(getSelection()) !== selected.words) getSelection().removeAllRanges(); // they are not there any more
  selected = null;
});

// ---- What is said of a press ("The import has begun") goes when a part of the page that is live shows that things have moved on, and
// it could be read. What went wrong stays.
const READ = 6_000;
function wordsOf(element) {
  const copy = element.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.remove(); // they go on by themselves
  return copy.textContent.replace(/\s+/g, " ");
}
function movedOn(before, element) {
  if (wordsOf(element) === before) return;
  setTimeout(() => document.querySelectorAll(".toast:not(.bad)").forEach(toast => toast.remove()), Math.max(0, READ - performance.now()));
}
let wordsInSwap = "";
document.addEventListener("htmx:beforeSwap", event => { wordsInSwap = wordsOf(event.detail.target); });
document.addEventListener("htmx:afterSwap", event => {
  const fresh = document.getElementById(event.detail.target.id) ?? event.detail.target;
  movedOn(wordsInSwap, fresh);
});

// ---- Who logs out leaves no drafts in the tab, and no test chat in the browser.
document.addEventListener("submit", event => {
  if (!("leaves" in event.target.dataset) || event.defaultPrevented) return;
  sessionStorage.clear();
  for (const name of Object.keys(localStorage)) if (/^switchboard:[^:]+:test:/.test(name)) localStorage.removeItem(name);
});

// The first field has the focus, not the cross that closes.
function openDialog(dialog) {
  dialog?.showModal();
  dialog?.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}

// A click beside a dialog closes it.
document.addEventListener("mousedown", event => {
  if (event.target instanceof HTMLDialogElement) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
});

async function copy(button) {
  const label = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    button.parentElement.querySelector("input")?.select(); // not over http: the person copies it
    return;
  }
  label.dataset.before ??= label.textContent; // it may be pressed twice
  label.textContent = button.dataset.done;
  setTimeout(() => { label.textContent = label.dataset.before; }, 1500);
}

// A page of ours; null if none comes: over a connection that died without a word none would for minutes.
const ask = (address, method = "GET") =>
  fetch(address, { method, headers: { Accept: "text/html" }, signal: AbortSignal.timeout(20_000) }).catch(() => null);

// Adds the next page's rows to this page's.
async function showMore(link) {
  const rows = document.querySelector(link.dataset.more);
  link.setAttribute("aria-disabled", "true");
  if (rows) rows.dataset.further = "";
  const answer = await ask(link.href);
  const text = rows && answer?.ok && !answer.redirected ? await answer.text().catch(() => "") : "";
  if (!text) { link.removeAttribute("aria-disabled"); location.assign(link.href); return; }
  const page = new DOMParser().parseFromString(text, "text/html");
  if (!link.isConnected) return; // the list is another one by now
  const last = rows.lastElementChild, added = [...page.querySelector(link.dataset.more)?.children ?? []];
  rows.append(...added);
  const next = page.querySelector(`a[data-more="${link.dataset.more}"]`);
  link.closest(".more").replaceWith(...(next ? [next.closest(".more")] : []));
  tellTimes();
  if (next && !added.length) { await showMore(next); return; } // a search goes back in time, until it finds something
  (last?.nextElementSibling?.querySelector("a, button") ?? rows).focus?.();
}

// Tabs that do not all fit into a phone show the one that is open.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// ---- Times: relative ones go on, and their titles are in the reader's own zone.
const UNITS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const language = document.documentElement.lang;
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" }); // with its zone
const date = new Intl.DateTimeFormat(language, { dateStyle: "full" });
const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });

function ago(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / size), unit);
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    time.title = full.format(moment);
    if ("clock" in time.dataset) time.textContent = clock.format(moment);
    else if (!("exact" in time.dataset)) time.textContent = ago(moment);
  }
  tellDays();
}

// The days above messages are the reader's, as their times are: what was written at half past midnight is of the new day.
function tellDays() {
  let last = "";
  for (const time of document.querySelectorAll(".bubbles > .bubble time[data-clock]")) {
    const bubble = time.closest(".bubble"), day = date.format(new Date(time.dateTime));
    let head = bubble.previousElementSibling?.matches(".day") ? bubble.previousElementSibling : null;
    if (day === last) head?.remove();
    else if (!head) bubble.before((head = Object.assign(document.createElement("p"), { className: "day", innerHTML: "<span></span>" })));
    if (day !== last && head.textContent !== day) head.firstElementChild.textContent = day;
    last = day;
  }
}
tellTimes();
setInterval(tellTimes, 30_000);
document.addEventListener("htmx:afterSettle", tellTimes);

// ---- A request of htmx that got no answer, or a bad one, is told at the bottom of the page. What was lost is asked for every few
// seconds; once it is there, the body gets the event desk:back, on which parts of the page may fetch themselves again.
const connection = document.getElementById("connection");
let waiting = 0;
let isLost = false;
function tell(text) {
  connection.textContent = text;
  connection.hidden = !text;
}
function lost(text = isLost ? connection.textContent : document.body.dataset.lost) {
  isLost = true;
  tell(text);
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const answer = await ask(location.href, "HEAD");
    if (!answer || answer.status >= 500) { lost(); return; }
    found();
    document.body.dispatchEvent(new CustomEvent("desk:back"));
  }, 3000);
}
function found() {
  isLost = false;
  tell("");
}
addEventListener("offline", () => lost());
document.addEventListener("htmx:sendError", () => lost());
document.addEventListener("htmx:responseError", event => {
  if (event.detail.xhr.status === 503) { lost(); return; }
  tell(document.body.dataset.failed);
  leaveIfRefused(); // what the page shows may have been erased
});
document.addEventListener("htmx:afterOnLoad", event => { if (event.detail.successful) found(); });

// ---- Server-sent events of an address: `hears` has a function for each. The browser resumes a stream that broke by itself, unless
// the answer was an error; that it stays broken is told, and so is silence: the server says every ten seconds that it is there
// (web/desk/live.py). Who may no longer see the page, or not all of it, is asked for it anew: nothing stays on a shared screen.
const BROKEN = 6_000, SILENT = 25_000;
function listen(address, hears, pause = 1000) {
  const events = new EventSource(address);
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => { events.close(); lost(); listen(address, hears, pause); }, SILENT);
  };
  heard();
  for (const name of ["here", "rights", ...Object.keys(hears)]) events.addEventListener(name, heard);
  for (const [name, hear] of Object.entries(hears)) events.addEventListener(name, hear);
  events.addEventListener("rights", event => { if (JSON.parse(event.data).rights !== document.body.dataset.rights) leave(); });
  let broken = 0; // since when, as a timer: a server that is replaced is back within seconds
  events.onopen = () => { pause = 1000; clearTimeout(broken); broken = 0; };
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) { broken ||= setTimeout(lost, BROKEN); return; }
    clearTimeout(broken);
    clearTimeout(silence);
    leaveIfRefused();
    setTimeout(listen, pause, address, hears, Math.min(30_000, pause * 2));
  };
}

document.addEventListener("htmx:beforeOnLoad", event => { // its answer leads to the login
  if (event.detail.xhr.status === 401) unsent.keepAll();
});

async function leaveIfRefused() {
  const answer = await ask(location.href, "HEAD");
  const isLogin = answer?.redirected && new URL(answer.url).pathname === "/desk/login";
  if (isLogin || [401, 403, 404].includes(answer?.status)) leave();
}

function leave() {
  unsent.keepAll();
  document.body.replaceChildren();
  location.reload();
}

// A page that the browser has kept in its memory is asked for anew: its reader may have lost access meanwhile, or a right.
addEventListener("pageshow", event => { if (event.persisted) leave(); });

// 422 brings the form again, with what is wrong in it; 409 says who was faster.
document.addEventListener("htmx:beforeSwap", event => {
  if ([409, 422].includes(event.detail.xhr.status)) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
// The menu of a phone closes when it led somewhere.
document.getElementById("nav")?.addEventListener("click", event => {
  if (event.target.closest("a") && event.currentTarget.matches(":popover-open")) event.currentTarget.hidePopover();
});
