// The inbox: it hears what changed and fetches it, keeps its place, and helps with writing.
"use strict";

(() => {
  const inbox = document.querySelector(".inbox");
  const list = document.getElementById("list");
  const thread = document.getElementById("thread");
  const text = document.getElementById("reply");
  const composer = document.getElementById("composer");

  // ---- Live
  let handoff = null;
  const waiting = {};
  // Several changes within a moment are one.
  function changed(element) {
    if (!element) return;
    clearTimeout(waiting[element.id]);
    waiting[element.id] = setTimeout(() => isGrowing(element) || isPressed(element) ? changed(element) : htmx.trigger(element, "changed"), 80);
  }
  // What is being pressed, or selected, is not drawn anew under the pointer: the press would be of nothing.
  const isPressed = element => element.matches(":active");
  document.addEventListener("htmx:beforeSwap", event => {
    const { target } = event.detail;
    if (![list, thread].includes(target) || !isPressed(target)) return;
    event.detail.shouldSwap = false;
    changed(target);
  });
  listen(inbox.dataset.events, {
    list: event => {
      const data = JSON.parse(event.data);
      if (handoff !== null && data.at > handoff) tell(data.handoff);
      handoff = Math.max(handoff ?? 0, data.at);
      changed(list);
    },
    conversation: () => changed(thread),
  });

  // ---- "Show more" and "Search further back": what they bring is waited for, and stays. A list is fetched again with all of its rows;
  // a search that went further back is not done again, only the counts above it are new.
  const isGrowing = element => element.querySelector("[data-more][aria-disabled]") !== null;
  const rows = () => list.querySelectorAll("#chats > li").length;
  document.addEventListener("htmx:configRequest", event => {
    if (event.detail.elt === list) event.detail.parameters.rows = rows();
  });
  document.addEventListener("htmx:beforeSwap", event => {
    if (event.detail.target !== list || !event.detail.shouldSwap) return;
    if (isGrowing(list) || event.detail.requestConfig.parameters.rows < rows()) { // it grows, or has grown since it was asked for
      event.detail.shouldSwap = false;
      changed(list);
    } else if ("search" in list.dataset && list.querySelector("#chats[data-further]")) {
      event.detail.shouldSwap = false;
      const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html").querySelector(".inbox-tabs");
      if (fresh) list.querySelector(".inbox-tabs").replaceWith(fresh);
    }
    if (event.detail.shouldSwap) keepPlace();
  });

  // ---- A list that is drawn anew stays where its reader has scrolled it to: most of the rows that are seen do not move, though some
  // came or went above them. At its beginning it stays there, and shows what is new.
  const chats = () => document.getElementById("chats");
  const topOf = row => row.getBoundingClientRect().top;
  let before = { top: 0, seen: [] };
  function keepPlace() {
    const box = chats();
    const seen = [...box?.children ?? []].filter(row => topOf(row) + row.clientHeight > topOf(box) && topOf(row) < topOf(box) + box.clientHeight);
    before = { top: box?.scrollTop ?? 0, seen: seen.map(row => [row.querySelector("a").id, topOf(row)]) };
  }
  document.addEventListener("htmx:afterSwap", event => {
    if (event.detail.target !== list) return;
    tellWaiting();
    if (!before.top || !chats()) return;
    chats().scrollTop = before.top;
    const stay = before.seen.filter(([id]) => document.getElementById(id));
    const moves = stay.map(([id, top]) => topOf(document.getElementById(id)) - top).sort((a, b) => a - b);
    chats().scrollTop += moves[moves.length >> 1] ?? 0;
  });

  // ---- How many wait is in the title of the window, for who works in another one.
  const { title } = document;
  function tellWaiting() {
    const count = list.querySelector(".tab-count.hot");
    document.title = count ? `(${count.textContent}) ${title}` : title;
  }
  tellWaiting();

  // ---- Notifications
  const notify = document.getElementById("notify");
  const canTell = "Notification" in window;
  const showBell = () => { notify.hidden = !canTell || Notification.permission !== "default"; };
  notify.addEventListener("click", () => Notification.requestPermission().then(showBell));
  showBell();
  function tell(conversation) {
    if (!canTell || Notification.permission !== "granted") return;
    let note;
    try {
      note = new Notification(inbox.dataset.noticeTitle, { body: inbox.dataset.noticeText, tag: `handoff-${conversation}` });
    } catch { // Chrome on Android has no notifications of pages, and says that it has
      return;
    }
    note.onclick = () => { window.focus(); location.assign(inbox.dataset.conversation.replace(/\/0(?=\?|$)/, `/${conversation}`)); };
  }

  // ---- The end of the conversation stays in view, unless somebody reads further up.
  const bubbles = () => document.getElementById("bubbles");
  let wasAtEnd = true;
  let top = 0;
  const toEnd = () => {
    const box = bubbles();
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    top = box.scrollTop;
  };
  const look = event => {
    const box = bubbles();
    if (!box || (event.target !== box && event.detail?.target !== thread)) return;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    wasAtEnd = isAtEnd || (wasAtEnd && box.scrollTop >= top); // a picture may grow below the end before it has loaded
    top = box.scrollTop;
  };
  thread?.addEventListener("scroll", look, { capture: true, passive: true });
  document.addEventListener("htmx:beforeSwap", look); // which leaves no event of a scroll that it follows at once
  thread?.addEventListener("load", () => { if (wasAtEnd) toEnd(); }, { capture: true }); // a picture, which had no height before
  document.addEventListener("htmx:afterSwap", event => {
    if (event.detail.target !== thread) return;
    if (wasAtEnd) toEnd();
    else bubbles().scrollTop = top;
    sayNews();
    showAssigned(thread.querySelector("[data-assigned]").dataset.assigned);
  });
  // Whose it is now, above the thread. Who is choosing somebody at this moment is told by the server what they have missed.
  function showAssigned(user) {
    const choice = document.getElementById("assignee");
    if (document.activeElement === choice) return;
    choice.value = [...choice.options].some(one => one.value === user) ? user : "";
    choice.form.elements.from.value = user;
  }
  // The thread is drawn anew, and a screen reader says nothing of that: it is told what is new. What it has not said yet must stay.
  const MOST_NEWS = 20;
  const messages = () => [...thread.querySelectorAll(".bubble")];
  let known = new Set(thread && messages().map(one => one.id));
  function sayNews() {
    const fresh = messages().filter(one => !known.has(one.id));
    known = new Set(messages().map(one => one.id));
    const news = document.getElementById("news");
    news.append(...fresh.map(one => {
      const said = [...one.querySelectorAll(".bubble-text, .transcript, .file, .picture")].map(part => part.alt || part.textContent.trim());
      return Object.assign(document.createElement("p"), { textContent: `${one.querySelector(".bubble-who").textContent.trim()}: ${said.join(" ")}` });
    }));
    while (news.children.length > MOST_NEWS) news.firstElementChild.remove();
  }
  toEnd();
  document.querySelector(".chats .is-open")?.scrollIntoView({ block: "nearest" });

  // ---- Forms
  document.addEventListener("change", event => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  document.querySelector(".inbox-filter").addEventListener("change", event => {
    if (event.target.matches("select")) event.target.form.requestSubmit();
  });
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-improve]");
    if (!button) return;
    const form = document.querySelector("#improve form");
    form.action = button.dataset.improve;
    form.elements.title.value = button.dataset.title;
    form.elements.content.value = button.dataset.content;
    form.querySelector(".notice")?.remove(); // of another answer
    showImproved();
  });
  function showImproved() {
    document.getElementById("improve").showModal();
    document.querySelector("#improve [name=content]").focus();
  }
  if (document.querySelector("#improve [data-refused]")) showImproved(); // it is still there, with what is wrong
  if (!composer) return;

  // ---- Writing: a draft survives leaving the page, and a send of which nobody knows whether it arrived; Enter sends. It stays what it
  // was, a reply or a note, and keeps the key of its form: what has arrived is in the thread with that key, and never sent twice.
  // A draft is its writer's: whoever logs in at the same tab does not see it. A browser that goes back would put what the field had when
  // it was left, after this script: nothing, for what was sent is no more in it.
  composer.autocomplete = "off";
  const place = `composer ${document.body.dataset.user} ${composer.action}`;
  const { kind: kinds, key } = composer.elements;
  const kind = () => kinds.value;
  let sent = null; // what is on its way; the field is empty for what is written meanwhile
  const written = () => ({ text: text.value, kind: kind(), key: key.value });
  function keep() {
    if (sent || text.value.trim()) sessionStorage.setItem(place, JSON.stringify({ ...written(), sent }));
    else sessionStorage.removeItem(place);
  }
  const joined = (...texts) => texts.map(one => one.trim()).filter(Boolean).join("\n");
  const isThere = draft => thread.querySelector(`[data-form="${CSS.escape(draft.key)}"]`) !== null;
  function put(draft) {
    text.value = draft.text;
    key.value = draft.key;
    for (const one of kinds) one.checked = one.value === (kinds[0].disabled ? "note" : draft.kind);
  }
  const draft = JSON.parse(sessionStorage.getItem(place) ?? "null");
  if (draft?.sent && !text.value && !isThere(draft.sent)) put({ ...draft.sent, text: joined(draft.sent.text, draft.text) });
  else if (draft?.sent) put({ text: joined(text.value, draft.text), kind: draft.text.trim() && !text.value ? draft.kind : kind(), key: key.value });
  else if (draft && !text.value && !isThere(draft)) put(draft);
  keep();
  function grow() {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 240)}px`;
    composer.classList.toggle("is-note", kind() === "note");
    text.placeholder = kind() === "note" ? text.dataset.forNote : text.dataset.forMessage;
  }
  grow();
  // Who takes a conversation with the mouse writes next, and the first letters must not press keys. Who goes by keys goes on by keys.
  const TAKEN = "desk taken";
  document.addEventListener("click", event => {
    if (event.detail && event.target.closest(".owner-bar [data-key=t]")) sessionStorage.setItem(TAKEN, place);
  });
  if (sessionStorage.getItem(TAKEN) === place && thread.querySelector(`[data-assigned="${document.body.dataset.user}"]`)) {
    text.focus({ preventScroll: true });
  }
  sessionStorage.removeItem(TAKEN);
  composer.addEventListener("change", () => { keep(); grow(); text.focus(); });
  deskKeys.add("n", composer.dataset.note, () => {
    kinds.value = "note";
    keep();
    grow();
    text.focus();
  });
  composer.addEventListener("submit", event => {
    keep();
    if (event.defaultPrevented) return; // it has a file (attach.js)
    setTimeout(() => { // it was sent, or not (desk.js)
      if (sent || !composer.hasAttribute("aria-busy")) return;
      sent = written();
      text.value = "";
      keep();
      grow();
    });
  });
  composer.addEventListener("desk:released", () => {
    if (!sent) return;
    put({ ...sent, text: joined(sent.text, text.value) });
    sent = null;
    keep();
    grow();
  });

  const choices = document.getElementById("quick-replies");
  const shown = () => [...choices.querySelectorAll("li:not([hidden]) button")];
  let chosen = 0;
  function offer() {
    const begins = /^\/(\S*)$/.exec(text.value)?.[1]?.toLowerCase();
    for (const item of choices.children) item.hidden = begins === undefined || !item.firstElementChild.dataset.shortcut.startsWith(begins);
    choices.hidden = !shown().length;
    // A shortcut that is none would reach the customer as it is.
    text.setCustomValidity(begins !== undefined && choices.hidden ? composer.dataset.unknown : "");
    choose(0);
  }
  function choose(number) {
    chosen = Math.max(0, Math.min(shown().length - 1, number));
    shown().forEach((button, at) => button.classList.toggle("is-chosen", at === chosen));
  }
  function take(button) {
    text.value = button.dataset.text;
    text.setCustomValidity("");
    choices.hidden = true;
    text.focus();
    keep();
    grow();
  }
  choices.addEventListener("click", event => { const button = event.target.closest("button"); if (button) take(button); });
  text.addEventListener("input", () => {
    keep();
    offer();
    grow();
  });
  text.addEventListener("keydown", event => {
    if (isComposing(event)) return;
    if (!choices.hidden && ["ArrowDown", "ArrowUp", "Enter", "Tab"].includes(event.key)) {
      event.preventDefault();
      if (event.key === "ArrowDown") choose(chosen + 1);
      else if (event.key === "ArrowUp") choose(chosen - 1);
      else take(shown()[chosen]);
    } else if (event.key === "Enter" && !event.shiftKey && !sent && matchMedia("(min-width: 901px)").matches) {
      event.preventDefault();
      if (text.value.trim() || kind() === "message" && composer.elements.file?.files.length) composer.requestSubmit();
    }
  });
})();
