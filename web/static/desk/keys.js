// Keys. An element with data-key="t" is pressed by that key, data-key="g i" by one after the other; a field is focused.
// ? lists them; j and k go through [data-rows] (its children with a link, or a part that opens), Enter opens, / goes to the [data-find] field.
// In a field only Escape works, which leaves it. Another module adds a key by `deskKeys.add("r", "Reply", run)`.
"use strict";

const deskKeys = (() => {
  const own = new Map();
  const list = document.querySelector("dialog.dialog .keys");
  let begun = "";
  let timer = 0;

  const isWriting = target => target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  const isSeen = element => element.checkVisibility?.({ visibilityProperty: true }) ?? true;
  const elements = () => [...document.querySelectorAll("[data-key]")].filter(element => !element.disabled);
  const label = element => element.dataset.keyLabel || element.querySelector("span")?.textContent || element.getAttribute("aria-label") || element.textContent;

  function press(element) {
    if (element.matches("input, textarea, select")) element.focus();
    else element.click();
  }

  // ---- Rows. Where one is: at the focus, which a live list keeps; else at the mark, or at what is open beside the list.
  const goal = row => row.querySelector("a[href], summary");
  const rows = () => [...document.querySelectorAll("[data-rows] > *")].filter(goal);
  const current = all => [":focus-within", ".is-current-row", ":has([aria-current])"]
    .map(place => all.findIndex(row => row.matches(place))).find(at => at >= 0) ?? -1;
  let was = 0; // where that was: if its row has left the list, the next one has come there
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = current(all);
    was = Math.max(0, Math.min(all.length - 1, at < 0 ? was + Math.min(step, 0) : at + step));
    const row = all[was];
    for (const other of all) other.classList.remove("is-current-row");
    row.classList.add("is-current-row");
    goal(row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  // ---- The list
  function line(keys, text) {
    const term = document.createElement("dt");
    term.append(...keys.split(" ").map(key => Object.assign(document.createElement("kbd"), { textContent: key })));
    list.append(term, Object.assign(document.createElement("dd"), { textContent: text.trim() }));
  }
  function show() {
    if (!list) return;
    list.replaceChildren();
    line("?", list.dataset.help);
    if (rows().length) {
      line("j", list.dataset.down);
      line("k", list.dataset.up);
      line("Enter", list.dataset.open);
    }
    if (document.querySelector("[data-find]")) line("/", list.dataset.search);
    for (const [key, { text }] of own) line(key, text);
    const named = new Set(own.keys());
    for (const { dataset: { key } } of elements()) {
      const element = find(key); // one that nobody sees is pressed by no key
      if (element && !named.has(key)) line(key, label(element));
      named.add(key);
    }
    list.closest("dialog").showModal();
  }

  function find(keys) {
    return elements().find(element => element.dataset.key === keys && (isSeen(element) || element.closest(".nav")));
  }
  const isBeginning = keys => elements().some(element => element.dataset.key.startsWith(`${keys} `));

  function run(keys) {
    const builtin = { "?": show, j: () => move(1), k: () => move(-1), "/": () => document.querySelector("[data-find]")?.focus() };
    const element = find(keys);
    const action = own.get(keys)?.run ?? (element ? () => press(element) : builtin[keys]);
    action?.();
    return Boolean(action);
  }

  // Takes one more key; says whether it means something.
  function type(key) {
    const keys = begun ? `${begun} ${key}` : key;
    clearTimeout(timer);
    begun = "";
    if (!isBeginning(keys)) return run(keys);
    begun = keys;
    timer = setTimeout(() => { begun = ""; }, 1200);
    return true;
  }

  // ---- A page that is being left hears no more keys: they are the next one's. If it stays (what was asked for is a file), they are its
  // own after all. The key that leads away is pressed twice by who is in a hurry, and not meant twice.
  const NEXT = "desk keys";
  let last = "";
  let leaving = "";
  let stays = 0;
  addEventListener("beforeunload", () => {
    leaving = last || "none";
    clearTimeout(stays);
    stays = setTimeout(stay, 5000);
  });
  addEventListener("pageshow", event => { if (event.persisted) stay(); });
  function stay() {
    leaving = "";
    takeUp();
  }
  function leaveToNext(key) {
    if (key !== leaving) sessionStorage.setItem(NEXT, (sessionStorage.getItem(NEXT) ?? "") + key);
  }
  function takeUp() {
    const keys = sessionStorage.getItem(NEXT) ?? "";
    sessionStorage.removeItem(NEXT);
    for (const key of keys) leaving ? leaveToNext(key) : write(key) || type(key);
  }

  function hear(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isComposing(event)) return;
    if (isWriting(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (!leaving) last = event.key;
    if (event.key.length !== 1 || document.querySelector("dialog[open]")) return;
    if (leaving) { leaveToNext(event.key); event.preventDefault(); return; }
    if (type(event.key)) event.preventDefault();
  }
  // Who was writing when a form loaded the page anew goes on, and presses none of the page's keys.
  function hearEarly(event) {
    if (isWriting(event.target) || !document.activeElement.matches("textarea")) { hear(event); return; }
    if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) write(event.key);
  }
  // Writes a letter where the page has put the focus; says whether that is a text.
  function write(key) {
    const field = document.activeElement;
    if (!field.matches("textarea")) return false;
    field.setRangeText(key, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }
  document.addEventListener("keydown", hear);
  document.addEventListener("pointerdown", () => { last = ""; });
  addEventListener("DOMContentLoaded", () => { // the page's own scripts have added their keys
    takeUp();
    heardEarly.end().forEach(hearEarly);
  });

  document.querySelector("[data-keys]")?.addEventListener("click", show);
  return { add: (key, text, run) => own.set(key, { text, run }) };
})();
