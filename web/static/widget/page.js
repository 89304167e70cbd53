/* What the visitor does, and how the page begins. */
"use strict";

/** Milliseconds after which a hidden page gives its stream back. */
const UNSEEN = 60_000;

/** Characters of a message. The field takes more: what a browser cuts off a pasted text, it cuts without a word. */
const MAX_TEXT = 4000;
let unseenTimer = 0;

/** The network is back: a stream from before it went may be dead, and not know. */
function again() {
  online(true);
  sendWaiting();
  stopListening();
  nudge();
  if (visible()) listen();
}

function grow() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  const ready = attached.every(({ file }) => file);
  $("send").disabled = !ready || tooLong() || !(text.value.trim() || attached.length);
}

function tooLong() {
  return $("text").value.trim().length > MAX_TEXT;
}

let lengthSaid = false;

/** A text that is too long stays as it is, and its writer shortens it. */
function sayLength() {
  const long = tooLong();
  if (long) notice(_("A message has at most {most} characters; this one has {number}. Please shorten it.", { most: MAX_TEXT, number: $("text").value.trim().length }));
  else if (lengthSaid) notice("");
  lengthSaid = long;
}

/** What is begun is in the field again after a reload, and on the next page of the site: in this tab. */
function keepText() {
  keep("text", $("text").value || null, "sessionStorage");
}

function write() {
  keepText();
  grow();
  sayLength();
  if ($("text").value.trim()) listen(true);
}

function submit(submitted) {
  submitted.preventDefault();
  const text = $("text");
  const content = text.value.trim();
  const files = attached;
  if (!(content || files.length) || tooLong() || !files.every(({ file }) => file)) return;
  text.value = "";
  keepText();
  attached = [];
  drawAttached();
  say(content, files);
  text.focus();
}

function seen() {
  clearTimeout(unseenTimer);
  if (!visible()) {
    unseenTimer = setTimeout(stopListening, UNSEEN);
    return;
  }
  unread = 0;
  listen(Boolean(token));
  nudge();
}

function fromLauncher({ source, data }) {
  if (source !== parent || !data) return;
  if (data.type === "switchboard:open" || data.type === "switchboard:closed") {
    open = data.type === "switchboard:open";
    seen();
    if (open && data.focus !== false) $("text").focus();
  }
}

function colour() {
  const wanted = new URLSearchParams(location.search).get("color");
  if (!/^#[0-9a-f]{6}$/i.test(wanted || "")) return;
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
  document.documentElement.style.setProperty("--accent", wanted);
  document.documentElement.style.setProperty("--on-accent", r * 0.299 + g * 0.587 + b * 0.114 > 150 ? "#111" : "#fff");
}

/** Whether a key goes to an input method, as the Enter that takes a word. Safari has ended the word before it tells of that key. */
function isComposing(pressed) {
  return pressed.isComposing || pressed.keyCode === 229;
}

/** Whoever opens the chat and writes, writes into its field: Safari lets a frame focus it only once something was pressed in the frame. */
function writeAtOnce({ target, key, ctrlKey, metaKey, altKey }) {
  if (target === document.body && key.length === 1 && key !== " " && !ctrlKey && !metaKey && !altKey) $("text").focus();
}

function framed() {
  if (parent === window) return;
  parent.postMessage({ type: "switchboard:ready" }, "*"); // nothing but that it is there
  $("close").hidden = false;
  const close = () => parent.postMessage({ type: "switchboard:close" }, "*");
  $("close").addEventListener("click", close);
  addEventListener("keydown", (pressed) => pressed.key === "Escape" && !isComposing(pressed) && close());
}

async function start() {
  colour();
  framed();
  takeFiles();
  $("form").addEventListener("submit", submit);
  $("text").addEventListener("input", write);
  $("text").addEventListener("keydown", (pressed) => {
    if (pressed.key !== "Enter" || pressed.shiftKey || isComposing(pressed)) return;
    submit(pressed);
  });
  addEventListener("keydown", writeAtOnce);
  $("older").addEventListener("click", () => load(`?limit=50&before=${oldest().id}`).catch(unavailable));
  addEventListener("message", fromLauncher);
  new ResizeObserver(() => atEnd && scrollToEnd()).observe($("log"));
  $("log").addEventListener("scroll", scrolled, { passive: true });
  document.addEventListener("visibilitychange", seen);
  addEventListener("offline", () => online(false)); // at once: a stream that is cut off says nothing for SILENCE
  addEventListener("online", again);
  addEventListener("storage", fromAnotherTab);
  $("text").value = recall("text", "sessionStorage") || "";
  grow();
  sayLength();
  outbox.filter(({ created_at }) => Date.now() - Date.parse(created_at) > PAST).forEach((item) => Object.assign(item, { waits: false, why: _("Not sent.") }));
  draw();
  await renew();
  setInterval(renew, 3600_000);
  for (let failures = 0; token; ) {
    try {
      await load();
      notice("");
      break;
    } catch (problem) {
      unavailable(problem);
      if (problem.status && problem.status < 500 && problem.status !== 429) break;
      await pause(Math.min(30_000, 1000 * 2 ** failures++));
    }
  }
  sendWaiting();
  listen();
}

function unavailable({ status }) {
  notice(status === 403 || status === 404 ? _("This chat is not available here.") : _("Your earlier messages cannot be loaded right now. Trying again…"));
}

start();
