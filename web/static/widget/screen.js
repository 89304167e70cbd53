/* What is shown: draw() makes the list of messages what it should be, and leaves alone what is right already. */
"use strict";

/** Milliseconds after which an answer is called late. */
const LATE = 60_000;
let lateTimer = 0;

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

function online(good) {
  if (good && document.body.classList.contains("offline")) sendWaiting();
  document.body.classList.toggle("offline", !good);
  $("presence").textContent = good ? _("Here to help") : _("Connecting again…");
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
