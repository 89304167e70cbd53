/* The chat page. No framework and no build step: `messages` and `outbox` are the state, draw() puts them on the screen.
 *
 * Live by a streamed fetch of /events (EventSource cannot send the visitor's token in a header); resumed with Last-Event-ID,
 * and by polling when the server has no stream to spare. Nothing here decides what a visitor may see: the token does.
 */
"use strict";

const CHATBOT = document.body.dataset.chatbot;
const NAME = document.body.dataset.name;
/** Our texts in the visitor's language, by their English; none for English. */
const WORDS = JSON.parse(document.body.dataset.words);
/** A text in the visitor's language. The server finds them in this file: each stands between double quotes, on one line. */
const _ = (english, values = {}) => (WORDS[english] ?? english).replace(/\{(\w+)\}/g, (place, name) => values[name]);
const API = `/api/v1/chatbots/${encodeURIComponent(CHATBOT)}`;
const $ = (id) => document.getElementById(id);
/** Where this device keeps what it knows. A test at the desk is another visitor than whoever uses this browser. */
const PLACE = `switchboard:${CHATBOT}:${location.hash === "#test" ? "test:" : ""}`;
/** Milliseconds without a byte (the server sends a comment every 20 s) after which a stream counts as dead. */
const SILENCE = 45_000;
/** Milliseconds after which an answer is called late. */
const LATE = 60_000;
/** Milliseconds after which a hidden page gives its stream back. */
const UNSEEN = 60_000;
/** Attempts at sending before the visitor is told. */
const ATTEMPTS = 3;
/** Milliseconds after which what could not be sent is tried again, if nothing says earlier that the network is back. */
const AGAIN = 30_000;
/** Milliseconds after which a message that could not be sent is no longer sent by itself: its visitor has gone on without it. */
const PAST = 24 * 3600_000;

/** Milliseconds after which a reply that stopped in the middle is not shown any longer; its message comes, or another attempt. */
const STALE = 60_000;

/** Characters of a message. The field takes more: what a browser cuts off a pasted text, it cuts without a word. */
const MAX_TEXT = 4000;

/** Bytes of a file, and files of a message; the server looks at what they are. */
const MAX_FILE = 10 * 1024 * 1024;
const MAX_FILES = 5;

const messages = new Map(); // id -> {id, role, content, status, reply_to, created_at, html, author, sources, choices, files}
const drafts = new Map(); // id of a question -> {content, html, tail, timer}: the reply that is being written
let attached = []; // {name, size, kind, url, file, why}: of the message that is being written; file once it is uploaded
const previews = new Map(); // file -> url of a picture that was sent from this page
let outbox = recall("outbox") || []; // {key, content, files, created_at, state: "sending" | "failed", why, waits: it is sent by itself}
const due = new Set(); // keys of those that wait and are tried now: without a word, until it is known what comes of it
const own = new Set(outbox.map(({ key }) => key)); // what has been in it; the rest of what is kept is other tabs'
const sentAs = new Map(); // id of a message that was sent from this page -> its key in the outbox
let cursor = 0; // the newest revision that this page has seen
let unread = 0;
let open = true; // the launcher says otherwise
let streaming = null; // the stream's AbortController
let unseenTimer = 0;
let lateTimer = 0;
let waitingTimer = 0;
let more = false; // older messages are on the server

/* ---- what stays on this device; a browser that forbids storage gets a chat that lasts as long as the page */

function recall(name, storage = "localStorage") {
  try {
    return JSON.parse(window[storage].getItem(PLACE + name));
  } catch {
    return null;
  }
}

function keep(name, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(PLACE + name);
    else window[storage].setItem(PLACE + name, JSON.stringify(value));
  } catch {
    /* the variable has it */
  }
}

function keepOutbox() {
  const others = (recall("outbox") || []).filter(({ key }) => !own.has(key));
  keep("outbox", [...others, ...outbox]);
}

/* ---- the server */

let token = recall("token");
let asking = null;
/** Milliseconds that an answer may take: other tabs wait for a token, and over a connection that died without a word none ever comes. */
const ASKING = 30_000;
const inTime = () => AbortSignal.timeout(ASKING);
/** Milliseconds after which a page exchanges its token for a new one: they expire, after a month unless the server says otherwise. */
const RENEW = 24 * 3600_000;

function visitorToken() {
  return token || newToken();
}

/** Once for all that ask meanwhile, in other tabs as well: two answers would be two visitors. */
function newToken() {
  asking ??= inTurn(fetchToken).finally(() => (asking = null));
  return asking;
}

/** Tabs take turns; where the browser has no locks, or forbids them as it forbids storage, there is nothing to share. */
async function inTurn(work) {
  let begun = false;
  try {
    return await navigator.locks.request(`${PLACE}token`, () => ((begun = true), work()));
  } catch (problem) {
    if (begun) throw problem;
    return work();
  }
}

/** Takes the token that another tab has got; false if there is none. */
function adopt() {
  const kept = recall("token");
  if (!kept || kept === token) return false;
  const before = token;
  token = kept;
  forgetOthers(before);
  return true;
}

/** A token: another tab's; or a new one of the same visitor, if there is one that the server still takes. */
async function fetchToken() {
  if (adopt()) return token;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`${API}/sessions`, { method: "POST", credentials: "omit", headers, signal: inTime() });
  if (!answer.ok) throw new Refused(answer);
  const before = token;
  token = (await answer.json()).token;
  keep("token", token);
  keep("renewed", Date.now());
  forgetOthers(before);
  return token;
}

/** Silently: a page that cannot renew now tries again in an hour. */
async function renew() {
  if (token && Date.now() - (recall("renewed") || 0) > RENEW) await newToken().catch(() => {});
}

class Refused extends Error {
  constructor(answer) {
    super(`HTTP ${answer.status}`);
    this.status = answer.status;
    this.wait = Number(answer.headers.get("Retry-After")) || 0; // seconds
  }
}

async function call(path, options = {}, again = true) {
  const used = await visitorToken();
  const headers = { Authorization: `Bearer ${used}`, ...options.headers };
  const answer = await fetch(API + path, { credentials: "omit", cache: "no-store", ...options, headers });
  if (answer.status === 401 && again) {
    if (token === used) await newToken(); // it has expired, or the server's keys changed: most likely a new visitor, an empty conversation
    return call(path, options, false);
  }
  if (!answer.ok) throw new Refused(answer);
  return answer;
}

/** What is shown is another visitor's conversation, if the token before was another visitor's. */
function forgetOthers(before) {
  if (!before || before.split(".")[0] === token.split(".")[0]) return;
  cursor = 0;
  messages.clear();
  drafts.clear();
  draw();
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

/** A pause that ends early when there may be news: a message was accepted, the network is back, the page is visible again. */
let nudge = () => {};
const rest = (ms) => new Promise((done) => setTimeout((nudge = done), ms));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* ---- receiving */

async function load(query = "?limit=50") {
  const log = $("log");
  const found = await (await call(`/messages${query}`, { signal: inTime() })).json();
  const older = query.includes("before=");
  if (!older) cursor = Math.max(cursor, found.cursor);
  if (older || !query.includes("after=")) more = found.more;
  found.messages.forEach(store);
  $("messages").setAttribute("aria-busy", "true"); // old messages are shown, not read out
  const below = log.scrollHeight - log.scrollTop;
  draw();
  if (older) log.scrollTop = log.scrollHeight - below; // no browser keeps the place at the very top, and Safari nowhere
  setTimeout(() => $("messages").removeAttribute("aria-busy"), 500);
}

function store(message) {
  messages.set(message.id, message);
  forgetDraft(message.reply_to); // the message takes its place, whatever it says
}

function receive(message, revision) {
  const known = messages.has(message.id);
  const drafted = drafts.has(message.reply_to);
  store(message);
  cursor = Math.max(cursor, revision);
  if (!known && message.role === "assistant") arrived();
  draw(known || drafted ? null : keyOf(message));
}

/** A reply that is being written: its whole `text`, or what is `more` since the last event; the text null when it ended without one.
 * `html` shows all of it, where it has marks; what comes after that is its tail, until the next html. */
function receiveDraft({ reply_to, text, more, html }) {
  if ([...messages.values()].some((message) => message.reply_to === reply_to)) return;
  const before = drafts.get(reply_to);
  forgetDraft(reply_to);
  const content = text ?? (more && before ? before.content + more : null);
  if (content) {
    const timer = setTimeout(() => (drafts.delete(reply_to), draw()), STALE);
    const shown = html ?? (more && before?.html);
    const tail = shown && html === undefined ? before.tail + more : "";
    drafts.set(reply_to, { content, html: shown, tail, timer });
  }
  draw(content && !before ? keyOf({ reply_to }) : null);
}

function forgetDraft(question) {
  clearTimeout(drafts.get(question)?.timer);
  drafts.delete(question);
}

function arrived() {
  if (visible()) return;
  unread += 1;
  parent.postMessage({ type: "switchboard:unread", count: unread }, "*"); // a number, for whoever frames us
}

function visible() {
  return open && !document.hidden;
}

/** `early`: the visitor begins to write. The stream is there before the first answer, which then comes word by word. */
async function listen(early = false) {
  if (streaming || !(messages.size || early)) return; // a visitor who has written nothing needs no stream
  streaming = new AbortController();
  const { signal } = streaming;
  for (let failures = 0; !signal.aborted; ) {
    try {
      await stream(signal, () => (failures = 0));
    } catch (problem) {
      if (signal.aborted) break;
      if (problem.status === 503 || problem.status === 429) {
        failures = 0;
        await poll(problem.wait || 30, signal);
        continue;
      }
      failures += 1;
      online(failures < 2);
    }
    if (!signal.aborted) await rest(failures ? Math.min(30_000, 500 * 2 ** failures) * (0.7 + Math.random() * 0.6) : 200);
  }
}

function stopListening() {
  streaming?.abort();
  streaming = null;
}

async function stream(signal, opened) {
  const dead = new AbortController(); // AbortSignal.any is missing in Safari before 17.4
  signal.addEventListener("abort", () => dead.abort());
  let watch = setTimeout(() => dead.abort(), SILENCE);
  try {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(cursor) };
    const answer = await call("/events", { headers, signal: dead.signal });
    opened();
    online(true);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "", part; !(part = await reader.read()).done; ) {
      clearTimeout(watch);
      watch = setTimeout(() => dead.abort(), SILENCE);
      const blocks = (rest + part.value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach(event);
    }
  } finally {
    clearTimeout(watch);
  }
}

function event(block) {
  const field = (name) => block.split("\n").filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
  const [name] = field("event");
  if (name === "message") receive(JSON.parse(field("data").join("\n")), Number(field("id")[0]));
  if (name === "draft") receiveDraft(JSON.parse(field("data").join("\n")));
}

async function poll(seconds, signal) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end && !signal.aborted; ) {
    try {
      const found = await (await call(`/messages?after=${cursor}`, { signal: inTime() })).json();
      online(true);
      found.messages.forEach((message) => receive(message, found.cursor));
      cursor = Math.max(cursor, found.cursor);
    } catch (problem) {
      if (!signal.aborted) online(Boolean(problem.status));
    }
    await rest(waiting() ? 2_000 : 10_000);
  }
}

/* ---- sending */

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

/* ---- files */

/** Uploads them at once; the message that names them is sent by the visitor. */
function attach(files) {
  const room = MAX_FILES - attached.length;
  if (files.length > room) notice(_("At most {number} files in one message.", { number: MAX_FILES }));
  for (const file of [...files].slice(0, room)) {
    const item = { name: file.name || "picture", size: file.size, kind: file.type.startsWith("image/") ? "image" : "document" };
    if (item.kind === "image") item.url = URL.createObjectURL(file);
    attached.push(item);
    if (file.isFolder) item.why = _("A folder cannot be sent; choose its files");
    else if (!file.size) item.why = _("This file is empty");
    else if (file.size > MAX_FILE) item.why = _("Too large, 10 MB at most");
    else upload(item, file);
  }
  drawAttached();
  listen(true);
  $("text").focus();
}

/** What was dropped. A folder comes as a file that no browser can read. */
function filesOf({ items }) {
  const files = [...items].filter(({ kind }) => kind === "file");
  return files.map((item) => Object.assign(item.getAsFile(), { isFolder: item.webkitGetAsEntry?.()?.isDirectory ?? false }));
}

async function upload(item, file) {
  try {
    const options = { method: "POST", headers: { "Content-Type": file.type || "application/octet-stream" }, body: file };
    const { file: name, kind } = await (await call(`/files?name=${encodeURIComponent(item.name)}`, options)).json();
    Object.assign(item, { file: name, kind });
    if (item.url) previews.set(name, item.url);
  } catch ({ status }) {
    if (status === 415) item.why = _("This kind of file cannot be sent");
    else if (status === 413) item.why = _("Too large, 10 MB at most");
    else if (status === 429) item.why = _("Too many files, try again later");
    else if (status === 422) item.why = _("No more files are taken here");
    else if (status && status !== 408) item.why = _("Not sent.");
    else if (status || navigator.onLine) item.why = _("Not sent: the connection broke, or is too slow for this file");
    else item.why = _("Not sent. Are you online?");
  }
  drawAttached();
}

function drawAttached() {
  $("attached").hidden = !attached.length;
  $("attached").replaceChildren(...attached.map(chip));
  grow();
}

function chip(item) {
  const element = make("li", item.why ? "bad" : item.file ? "" : "uploading");
  if (item.url && !item.why) element.append(Object.assign(make("img"), { src: item.url, alt: "" }));
  const about = make("span", "about");
  about.append(make("span", "name", item.name), make("span", "size", item.why || (item.file ? sizeOf(item.size) : _("Uploading…"))));
  const remove = Object.assign(make("button", "", "×"), { type: "button", ariaLabel: _("Remove {name}", { name: item.name }) });
  remove.addEventListener("click", () => {
    if (item.url) URL.revokeObjectURL(item.url);
    attached = attached.filter((other) => other !== item);
    drawAttached();
    $("text").focus();
  });
  element.append(about, remove);
  return element;
}

function sizeOf(bytes) {
  if (bytes < 100_000) return `${Math.max(1, Math.round(bytes / 1000))} kB`;
  const digits = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return `${(bytes / 1_000_000).toLocaleString(document.documentElement.lang, digits)} MB`;
}

const fetched = new Map(); // id of a file -> promise of its url

/** A file of this conversation, which only this visitor's token opens. */
function urlOf({ id, file }) {
  if (previews.has(file)) return Promise.resolve(previews.get(file));
  if (!id) return Promise.reject(new Error("not saved yet"));
  if (!fetched.has(id)) {
    const found = call(`/files/${id}`, { cache: "default" }).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob));
    fetched.set(id, found);
    found.catch(() => fetched.delete(id)); // it is asked for again when it is drawn again
  }
  return fetched.get(id);
}

function shownFile(entry, file) {
  if (file.state && file.state !== "stored") return fileLink(file, _("Not available any more"));
  if (file.kind === "image") return picture(file);
  if (file.kind === "voice" || file.kind === "audio") return sound(file);
  return fileLink(file, file.size ? sizeOf(file.size) : "");
}

function picture(file) {
  const element = Object.assign(make("a", "picture"), { target: "_blank", rel: "noopener" });
  const image = Object.assign(make("img"), { alt: file.name || _("Picture") });
  image.addEventListener("load", () => atEnd && scrollToEnd());
  element.append(image);
  urlOf(file).then((url) => Object.assign(element, { href: url }) && (image.src = url)).catch(() => element.replaceWith(fileLink(file, "")));
  return element;
}

function sound(file) {
  const element = Object.assign(make("audio"), { controls: true, preload: "none" });
  element.setAttribute("aria-label", file.name || _("Recording"));
  urlOf(file).then((url) => (element.src = url)).catch(() => element.replaceWith(fileLink(file, "")));
  return element;
}

function fileLink(file, detail) {
  const element = Object.assign(make("a", "file"), { download: file.name || "file" });
  element.append(make("span", "name", file.name || _("File")), make("span", "size", detail));
  if (file.id && (!file.state || file.state === "stored")) {
    element.href = "#";
    element.addEventListener("click", async (pressed) => {
      if (element.href.startsWith("blob:")) return;
      pressed.preventDefault();
      element.href = await urlOf(file).catch(() => "#");
      if (element.href.startsWith("blob:")) element.click();
    });
  }
  return element;
}

function retry(key) {
  outbox.filter((item) => item.key === key).forEach((item) => (item.state = "sending"));
  draw();
  sendWaiting();
  $("text").focus();
}

/* ---- the screen */

/** Messages in the order of the conversation: what is not saved yet is last, a reply stands behind its question. */
function ordered() {
  const time = ({ created_at }) => Date.parse(created_at);
  const question = (message) => messages.get(message.reply_to) ?? message;
  const late = ({ status }) => Number(status === "ACCEPTED");
  return [...messages.values(), ...drafted()].sort(
    (a, b) => late(a) - late(b) || time(question(a)) - time(question(b)) || Boolean(a.reply_to) - Boolean(b.reply_to) || time(a) - time(b),
  );
}

/** The replies that are being written, as messages, where their questions are known. */
function drafted() {
  const known = [...drafts].filter(([question]) => messages.has(question));
  return known.map(([question, { content, html, tail }]) => ({
    role: "assistant", content, html, tail, status: "DRAFT", reply_to: question, created_at: messages.get(question).created_at,
  }));
}

/** What a message's element is known by: a reply by its question, so that it takes its draft's place; what was written here by its key in
 * the outbox, also once it is saved. A screen reader reads out what is added. */
function keyOf({ id, key, day, reply_to }) {
  return String(day || (reply_to ? `reply to ${reply_to}` : sentAs.get(id) || id || key));
}

/** Whether the newest question has no answer yet, and the bot writes one. What is not saved yet is as the one before it. */
function waiting() {
  const list = ordered().filter(({ status }) => status !== "DRAFT");
  if (list.findLast(({ role, status }) => role === "user" && status !== "ACCEPTED")?.bot_is_silent) return false;
  const answered = new Set(list.map(({ reply_to }) => reply_to));
  const last = (wanted) => list.findLastIndex((message) => message.role === "user" && wanted(message));
  const byPerson = list.findLastIndex(({ author }) => author); // answers no question by its id, but what stands before it
  return last(() => true) > Math.max(byPerson, last(({ id }) => answered.has(id)));
}

/** The oldest message that the page has. */
function oldest() {
  const saved = [...messages.values()].filter(({ status }) => status !== "ACCEPTED");
  return saved.reduce((first, message) => (Date.parse(message.created_at) < Date.parse(first.created_at) ? message : first));
}

let atEnd = true; // a new message does not scroll the page of a visitor who reads further up
let place = 0;

function scrolled() {
  const log = $("log");
  const nearEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  atEnd = nearEnd || (atEnd && log.scrollTop >= place); // a picture may grow below the end before it has loaded
  place = log.scrollTop;
}

function scrollToEnd() {
  $("log").scrollTop = $("log").scrollHeight;
  place = $("log").scrollTop;
}

function draw(fresh = null) {
  scrolled();
  const list = [...ordered(), ...outbox];
  const people = list.findIndex(({ author }) => author); // from there on the page says who speaks
  const wanted = list.flatMap((entry, at) => withDay(entry, list[at - 1], list[at + 1], people >= 0 && at >= people));
  const kept = new Map([...$("messages").children].filter(({ dataset }) => dataset.id).map((element) => [element.dataset.id, element]));
  let previous = $("messages").firstElementChild; // the greeting
  for (const entry of wanted) {
    const id = keyOf(entry);
    const print = JSON.stringify(entry);
    let element = kept.get(id);
    kept.delete(id);
    if (!element) element = document.createElement("div");
    if (element.dataset.print !== print) fill(element, entry, id, print);
    element.classList.toggle("fresh", id === String(fresh) || (entry.status === "DRAFT" && element.classList.contains("fresh")));
    if (previous.nextElementSibling !== element) previous.after(element);
    previous = element;
  }
  kept.forEach((element) => element.remove());
  drawTyping();
  $("older").hidden = !more;
  if (atEnd || outbox.some(({ key }) => key === fresh)) scrollToEnd();
}

function withDay(entry, before, after, amongPeople) {
  const day = (at) => new Date(at).toDateString();
  const role = (other) => other.role || "user";
  const continues = (one, other) => role(one) === role(other) && speaker(one) === speaker(other);
  const first = !before || !continues(before, entry) || day(before.created_at) !== day(entry.created_at);
  const last = !after || !continues(entry, after) || role(entry) === "user";
  const item = { ...entry, first, last, named: first && amongPeople && role(entry) !== "user" };
  const old = !before ? day(entry.created_at) !== day(Date.now()) : day(before.created_at) !== day(entry.created_at);
  return old ? [{ day: day(entry.created_at), at: entry.created_at }, item] : [item];
}

function fill(element, entry, id, print) {
  const isNew = !element.dataset.print;
  element.dataset.id = id;
  element.dataset.print = print;
  if (entry.status === "DRAFT") {
    fillDraft(element, entry);
    return;
  }
  const role = entry.role || "user";
  const bad = entry.state === "failed" || entry.status === "FAILED";
  if (role === "user" && !isNew && !bad) element.setAttribute("aria-live", "off"); // with its mark it would be read out once more
  else element.removeAttribute("aria-live");
  element.removeAttribute("aria-busy");
  element.replaceChildren();
  if (entry.day) {
    element.className = "day";
    element.textContent = new Date(entry.at).toLocaleDateString(navigator.languages, { weekday: "long", day: "numeric", month: "long" });
    return;
  }
  element.className = [role, entry.first && "first", bad && "failed"].filter(Boolean).join(" ");
  element.append(bubble(role, entry));
  if (entry.sources && !bad) element.append(sources(entry.sources));
  if (entry.choices && !bad) element.append(choices(entry.choices));
  if (entry.last || bad) element.append(meta(role, entry, bad));
}

/** A reply that grows. Its words are read out once, when they are all there; what of them is marked stays so. */
function fillDraft(element, entry) {
  if (!element.classList.contains("draft")) {
    element.setAttribute("aria-live", "off");
    element.setAttribute("aria-busy", "true");
    const bubble = spoken(entry);
    bubble.append("");
    element.replaceChildren(bubble);
  }
  element.className = ["assistant draft", entry.first && "first", element.classList.contains("fresh") && "fresh"].filter(Boolean).join(" ");
  const bubble = element.firstChild;
  if (!entry.html) {
    bubble.lastChild.data = entry.content;
  } else if (bubble.html === entry.html) {
    bubble.tail.data = entry.tail;
  } else {
    bubble.html = entry.html;
    bubble.tail = document.createTextNode(entry.tail);
    bubble.replaceChildren(bubble.firstChild, formatted(entry.html));
    bubble.classList.add("formatted");
    lastBlock(bubble).append(bubble.tail);
  }
}

/** What our server made of a reply's marks: shared/channels/formatting/html.py escapes every word of it. */
function formatted(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Where a text goes on: in its last paragraph, item or code. */
function lastBlock(element) {
  const last = element.lastElementChild;
  return last?.matches("p:not(.heading), ul, ol, li, blockquote, pre, pre > code") ? lastBlock(last) : element;
}

function make(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

/** Whose words they are: the visitor's, the bot's, or a person's of the business, by the name that they go by. */
function speaker({ role = "user", author }) {
  if (role === "user") return _("You");
  return author ? author.name || _("Our team") : NAME;
}

/** A bubble whose text runs as its own first letter does; the name before it, which is Latin or not, has no say in that.
 * A screen reader says the name always; it is seen where it is not always the same. */
function spoken(entry) {
  const element = Object.assign(make("div", "bubble"), { dir: "auto" });
  const name = Object.assign(make("span", entry.named ? "speaker" : "aside", speaker(entry)), { dir: "auto" });
  name.append(entry.named ? make("span", "aside", ": ") : ": ");
  element.append(name);
  return element;
}

function bubble(role, entry) {
  const element = spoken(entry);
  if (entry.files) {
    element.classList.add("with-files");
    element.append(...entry.files.map((file) => shownFile(entry, file)));
  }
  const undelivered = role === "assistant" && entry.status === "FAILED";
  if (entry.html && !undelivered) {
    element.classList.add("formatted");
    element.append(formatted(entry.html));
    return element;
  }
  const text = undelivered ? _("This answer could not be delivered.") : entry.content;
  for (const part of text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]}'])/)) element.append(/^https?:\/\//.test(part) ? link(part) : part);
  return element;
}

/** The pages that an answer is taken from. */
function sources(links) {
  const element = make("div", "sources");
  element.append(make("span", "aside", _("Sources") + ": "), ...links.map(({ title, url }) => link(url, title)));
  return element;
}

/** What may be answered by a tap, which sends its title. Only beneath the newest message: the style sheet hides all others. */
function choices(offered) {
  const element = make("div", "choices");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", _("Answers to choose from"));
  for (const { title, description } of offered) {
    const button = Object.assign(make("button", "", title), { type: "button", dir: "auto" });
    if (description) button.append(make("span", "", description));
    button.addEventListener("click", ({ detail }) => {
      say(title);
      if (!detail) $("text").focus(); // by keyboard; a tap opens no keyboard
    });
    element.append(button);
  }
  return element;
}

function link(url, text = url) {
  return Object.assign(make("a", "", text), { dir: "auto", href: url, target: "_blank", rel: "noopener noreferrer nofollow" });
}

function meta(role, entry, bad) {
  const element = make("div", "meta");
  if (bad && role === "user") {
    element.append(entry.why || _("Not sent."));
    const again = Object.assign(make("button", "", _("Try again")), { type: "button" });
    again.addEventListener("click", () => retry(entry.key));
    element.append(again);
    return element;
  }
  const at = Object.assign(make("time", "", new Date(entry.created_at).toLocaleTimeString(navigator.languages, { hour: "numeric", minute: "2-digit" })));
  at.dateTime = entry.created_at;
  element.append(at);
  if (role === "user") element.append(mark(entry));
  return element;
}

const MARKS = {
  sending: [_("Sending"), "M8 1.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM8 3.5V6l1.6 1.2"],
  sent: [_("Sent"), "m4 6.5 2.6 2.6L12 3.2"],
  delivered: [_("Delivered"), "m1 6.5 2.6 2.6L9 3.2M7.4 8.7l.4.4L13.5 3.2"],
};

function mark({ state, status }) {
  const name = state || (status === "ACCEPTED" ? "sent" : "delivered");
  const [label, path] = MARKS[name];
  const element = make("span", name);
  element.title = label;
  element.innerHTML = `<svg viewBox="0 0 16 12" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${path}"/></svg>`;
  element.append(make("span", "aside", label));
  return element;
}

let typing = false;

function drawTyping() {
  $("typing").hidden = !waiting() || drafted().length > 0; // words are better than dots
  if (typing === waiting()) return;
  typing = waiting();
  $("typing-text").textContent = typing ? _("{name} is typing", { name: NAME }) : "";
  $("typing-text").className = "aside";
  clearTimeout(lateTimer);
  if (typing) lateTimer = setTimeout(late, LATE);
}

function late() {
  $("typing-text").className = "";
  $("typing-text").textContent = _("This takes longer than usual. The answer will appear here.");
}

/** The network is back: a stream from before it went may be dead, and not know. */
function again() {
  online(true);
  sendWaiting();
  stopListening();
  nudge();
  if (visible()) listen();
}

function online(good) {
  if (good && document.body.classList.contains("offline")) sendWaiting();
  document.body.classList.toggle("offline", !good);
  $("presence").textContent = good ? _("Here to help") : _("Connecting again…");
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

/* ---- the visitor */

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

/** A button, dropping, pasting. */
function takeFiles() {
  $("attach").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    attach($("file").files);
    $("file").value = "";
  });
  $("text").addEventListener("paste", (pasted) => {
    if (!pasted.clipboardData?.files.length) return;
    pasted.preventDefault();
    attach(pasted.clipboardData.files);
  });
  const hasFiles = ({ dataTransfer }) => [...(dataTransfer?.types || [])].includes("Files");
  for (const name of ["dragover", "dragenter"]) {
    addEventListener(name, (dragged) => {
      if (!hasFiles(dragged)) return;
      dragged.preventDefault();
      $("drop").hidden = false;
    });
  }
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || ($("drop").hidden = true));
  addEventListener("drop", (dropped) => {
    $("drop").hidden = true;
    if (!hasFiles(dropped)) return;
    dropped.preventDefault();
    attach(filesOf(dropped.dataTransfer));
  });
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
