/* Who the visitor is to the server: a token that this device keeps, and all tabs share. It decides what they may see; nothing here does. */
"use strict";

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
