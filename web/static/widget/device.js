/* The chat page. No framework and no build step: the scripts of this folder are one, joined in the order of web/widget/page.py.
 * `messages` and `outbox` are the state, draw() puts them on the screen.
 *
 * This one: where it runs, in which words, and what stays on this device. A browser that forbids storage gets a chat that lasts as
 * long as the page.
 */
"use strict";

const CHATBOT = document.body.dataset.chatbot;
const NAME = document.body.dataset.name;
/** Our texts in the visitor's language, by their English; none for English. */
const WORDS = JSON.parse(document.body.dataset.words);
/** A text in the visitor's language. The server finds them in these files: each stands between double quotes, on one line. */
const _ = (english, values = {}) => (WORDS[english] ?? english).replace(/\{(\w+)\}/g, (place, name) => values[name]);
const API = `/api/v1/chatbots/${encodeURIComponent(CHATBOT)}`;
const $ = (id) => document.getElementById(id);
/** Where this device keeps what it knows. A test at the desk is another visitor than whoever uses this browser. */
const PLACE = `switchboard:${CHATBOT}:${location.hash === "#test" ? "test:" : ""}`;

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
