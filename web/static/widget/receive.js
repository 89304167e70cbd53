/* What comes from the server. Live by a streamed fetch of /events (EventSource cannot send the visitor's token in a header); resumed with
 * Last-Event-ID, and by polling when the server has no stream to spare.
 */
"use strict";

/** Milliseconds without a byte (the server sends a comment every 20 s) after which a stream counts as dead. */
const SILENCE = 45_000;

/** Milliseconds after which a reply that stopped in the middle is not shown any longer; its message comes, or another attempt. */
const STALE = 60_000;

const messages = new Map(); // id -> {id, role, content, status, reply_to, created_at, html, author, sources, choices, files}
const drafts = new Map(); // id of a question -> {content, html, tail, timer}: the reply that is being written
let cursor = 0; // the newest revision that this page has seen
let unread = 0;
let open = true; // the launcher says otherwise
let streaming = null; // the stream's AbortController
let more = false; // older messages are on the server

/** A pause that ends early when there may be news: a message was accepted, the network is back, the page is visible again. */
let nudge = () => {};
const rest = (ms) => new Promise((done) => setTimeout((nudge = done), ms));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

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
