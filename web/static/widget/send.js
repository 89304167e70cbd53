/* What goes to the server: an outbox, which outlives the page. */
"use strict";

/** Attempts at sending before the visitor is told. */
const ATTEMPTS = 3;
/** Milliseconds after which what could not be sent is tried again, if nothing says earlier that the network is back. */
const AGAIN = 30_000;
/** Milliseconds after which a message that could not be sent is no longer sent by itself: its visitor has gone on without it. */
const PAST = 24 * 3600_000;
let outbox = recall("outbox") || []; // {key, content, files, created_at, state: "sending" | "failed", why, waits: it is sent by itself}
const due = new Set(); // keys of those that wait and are tried now: without a word, until it is known what comes of it
const own = new Set(outbox.map(({ key }) => key)); // what has been in it; the rest of what is kept is other tabs'
const sentAs = new Map(); // id of a message that was sent from this page -> its key in the outbox
let waitingTimer = 0;

function keepOutbox() {
  const others = (recall("outbox") || []).filter(({ key }) => !own.has(key));
  keep("outbox", [...others, ...outbox]);
}

/** The visitor has begun to write in another tab: it is one conversation, and this tab shows it as well. What failed, and is not in the
 * outbox any more, was sent from there: the server is asked by its key, and nothing is sent twice. */
function fromAnotherTab({ key }) {
  if (key === `${PLACE}outbox`) {
    const left = new Set((recall("outbox") || []).map((item) => item.key));
    outbox.filter((item) => item.state === "failed" && !left.has(item.key)).forEach((item) => (item.state = "sending"));
    draw();
    post();
  }
  if (key !== `${PLACE}token` || !adopt()) return;
  stopListening();
  if (visible()) listen(true);
}

function say(content, files = []) {
  const item = { key: crypto.randomUUID?.() || Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-"), content };
  if (files.length) item.files = files.map(({ file, kind, name, size }) => ({ file, kind, name, size }));
  outbox.push({ ...item, created_at: new Date().toISOString(), state: "sending" });
  own.add(item.key);
  keepOutbox();
  draw(item.key);
  sendWaiting();
}

/** What could not be sent is tried again, before what was written after it. */
function sendWaiting() {
  outbox.filter(({ waits }) => waits).forEach(({ key }) => due.add(key));
  post();
}

let posting = false;

/** Sends what is in the outbox, oldest first; the same key at every attempt, so that a lost answer never makes two. */
async function post() {
  if (posting) return;
  posting = true;
  for (let item; (item = outbox.find(({ key, state }) => state === "sending" || due.has(key))); ) await postOne(item);
  posting = false;
}

async function postOne(item) {
  for (let attempt = 1; item.state === "sending" || due.has(item.key); attempt += 1) {
    try {
      const answer = await call("/messages", {
        method: "POST",
        signal: inTime(),
        headers: { "Content-Type": "application/json", "Idempotency-Key": item.key },
        body: JSON.stringify({ content: item.content, files: item.files?.map(({ file }) => file) }),
      });
      accepted(item, await answer.json());
      return;
    } catch (problem) {
      const passing = !problem.status || problem.status >= 500 || problem.status === 429;
      if (passing && attempt < ATTEMPTS && item.state === "sending") await pause(Math.max(problem.wait || 0, attempt) * 1000);
      else if (passing) unsent(item, problem);
      else failed(item, problem);
    }
  }
}

function accepted(item, { id, status }) {
  outbox = outbox.filter((other) => other !== item);
  sentAs.set(id, item.key);
  due.delete(item.key);
  keepOutbox();
  // The stream may have been faster.
  if (!messages.has(id)) messages.set(id, { id, role: "user", content: item.content, status, reply_to: null, created_at: item.created_at, files: item.files });
  notice("");
  draw();
  listen();
  nudge();
}

/** It waits, and so does what was written after it: they arrive in their order. */
function unsent(item, { status, wait }) {
  const why = status === 429 ? _("Too many messages at once.") : _("Not sent yet. It goes by itself when the connection is back.");
  due.clear();
  outbox.filter((other) => other === item || other.state === "sending").forEach((other) => Object.assign(other, { state: "failed", why, waits: true }));
  clearTimeout(waitingTimer);
  waitingTimer = setTimeout(sendWaiting, Math.max(AGAIN, (wait || 0) * 1000));
  keepOutbox();
  draw();
}

function failed(item, { status }) {
  due.delete(item.key);
  item.state = "failed";
  item.waits = false;
  if (status === 403 || status === 404) item.why = _("This chat is not available here.");
  else if (status === 400 || status === 413 || status === 422) item.why = _("This message cannot be sent as it is.");
  else item.why = _("Not sent.");
  keepOutbox();
  draw();
}

function retry(key) {
  outbox.filter((item) => item.key === key).forEach((item) => (item.state = "sending"));
  draw();
  sendWaiting();
  $("text").focus();
}
