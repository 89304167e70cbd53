/* Embeds the chat: <script src="https://host/widget.js" data-chatbot="pk_..." async></script>
 *
 * A launcher button; the first click makes an iframe of /widget/<chatbot>, so visitors who never open it cost nothing.
 * Optional: data-color="#3b5bdb", data-label="Chat with us", data-side="left". Its words are in the visitor's language.
 */
(() => {
  "use strict";
  const script = document.currentScript ?? document.querySelector('script[data-chatbot][src*="/widget.js"]'); // null: type="module"
  const chatbot = script && script.dataset.chatbot;
  if (!chatbot) {
    console.error('switchboard: the script tag has no data-chatbot. Set data-chatbot="pk_...".');
    return;
  }
  // The page has the tag twice. A copy that a page has made of its own content is no chat: it has no shadow.
  const earlier = [...document.querySelectorAll("switchboard-chat")].find((one) => one.shadowRoot);
  if (earlier) {
    if (earlier.dataset.chatbot !== chatbot) console.warn(`switchboard: a page shows one chat, and that of ${earlier.dataset.chatbot} was first.`);
    return;
  }
  const host = new URL(script.src).origin;
  const words = {}; // by language, then by the English; the server has them
  const language = (navigator.languages ?? [navigator.language]).map((one) => one.slice(0, 2)).find((one) => one === "en" || words[one]);
  const _ = (english) => words[language]?.[english] ?? english;
  const color = /^#[0-9a-f]{6}$/i.test(script.dataset.color || "") ? script.dataset.color : "#3b5bdb";
  const label = script.dataset.label || _("Chat with us");
  const side = script.dataset.side === "left" ? "left" : "right";
  const css = `
    :host { display: contents; } /* no box that the page's rules could move, fade or put behind others */
    .all { all: initial; display: contents; } /* and what they let inherit ends here */
    button { position: fixed; ${side}: 20px; bottom: 20px; z-index: 2147483000; width: 60px; height: 60px; padding: 0;
      border: 0; border-radius: 50%; background: ${color}; color: ${readable(color)}; cursor: pointer;
      box-shadow: 0 6px 20px rgb(15 20 40 / 30%); display: grid; place-items: center; transition: transform .15s; }
    button:hover { transform: scale(1.05); }
    button:focus-visible { outline: 3px solid ${color}; outline-offset: 3px; }
    svg { width: 28px; height: 28px; }
    .open .talk, button:not(.open) .down { display: none; }
    .said { position: fixed; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    .problem { position: fixed; ${side}: 20px; bottom: 92px; z-index: 2147483000; box-sizing: border-box; max-width: min(320px, calc(100vw - 40px));
      margin: 0; padding: 12px 16px; border: 1px solid GrayText; border-radius: 14px; background: Canvas; color: CanvasText; color-scheme: light dark;
      font: 15px/1.45 system-ui, sans-serif; box-shadow: 0 6px 20px rgb(15 20 40 / 20%); }
    .count { position: absolute; top: -2px; right: -2px; min-width: 22px; height: 22px; border-radius: 11px; background: #d92d20;
      color: #fff; font: 600 13px/22px system-ui, sans-serif; text-align: center; }
    [hidden] { display: none !important; }
    iframe { position: fixed; ${side}: 20px; bottom: 92px; z-index: 2147483000; width: 384px; max-width: calc(100vw - 40px);
      height: 620px; max-height: calc(100dvh - 112px); border: 0; border-radius: 18px; background: Canvas; color-scheme: light dark;
      box-shadow: 0 12px 48px rgb(15 20 40 / 28%); }
    @media (max-width: 480px), (max-height: 420px) {
      iframe { inset: 0; width: 100vw; max-width: none; height: 100dvh; max-height: none; border-radius: 0; }
      .open.there { display: none; } /* the chat has a button of its own that closes it; a frame that stays empty has none */
    }
    @media print { .all { display: none; } }
    @media (prefers-reduced-motion: reduce) { button { transition: none; } }
    @media (forced-colors: active) { button { border: 2px solid; } iframe { outline: 2px solid; outline-offset: -2px; } }`;

  // Some pages hide elements that are not defined.
  if (!customElements.get("switchboard-chat")) customElements.define("switchboard-chat", class extends HTMLElement {});
  const element = document.createElement("switchboard-chat");
  element.dataset.chatbot = chatbot;
  const root = element.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // needs no 'unsafe-inline' in the business's CSP
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  // Element by element: a business's CSP may forbid to make them of a text (require-trusted-types-for).
  const made = (space, name, attributes, ...children) => {
    const one = document.createElementNS(`http://www.w3.org/${space}`, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    one.append(...children);
    return one;
  };
  const drawn = (name, attributes, ...children) => made("2000/svg", name, attributes, ...children);
  const count = made("1999/xhtml", "span", { class: "count", hidden: "" });
  const icon = drawn("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linejoin": "round", "aria-hidden": true },
    drawn("path", { class: "talk", d: "M21 11.5c0 4.4-4 8-9 8-1 0-2-.1-2.9-.4L4 21l1.3-4C3.9 15.6 3 13.6 3 11.5c0-4.4 4-8 9-8s9 3.6 9 8z" }),
    drawn("path", { class: "down", "stroke-linecap": "round", d: "m6 9 6 6 6-6" }),
  );
  const button = made("1999/xhtml", "button", { type: "button", "aria-expanded": false }, icon, count);
  const said = made("1999/xhtml", "span", { class: "said", role: "status" });
  const problem = made("1999/xhtml", "p", { class: "problem", role: "alert", hidden: "" });
  const all = made("1999/xhtml", "div", { class: "all" }, problem, button, said);
  root.append(all);
  button.setAttribute("aria-label", label);
  let frame = null;
  let loaded = false;
  let ready = false;
  let patience = 0;
  let forbidden = false; // by the page's own policy

  function readable(hex) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return r * 0.299 + g * 0.587 + b * 0.114 > 150 ? "#111" : "#fff";
  }

  function tell(type, focus) {
    if (ready) frame.contentWindow.postMessage({ type, focus }, host);
  }

  function makeFrame() {
    frame = document.createElement("iframe");
    frame.title = label;
    frame.src = `${host}/widget/${encodeURIComponent(chatbot)}?color=${encodeURIComponent(color)}`;
    frame.hidden = true;
    // More than the page takes to come, and then more than its script takes to say that it is there.
    patience = setTimeout(giveUp, 30_000);
    frame.addEventListener("load", () => {
      clearTimeout(patience);
      patience = setTimeout(giveUp, 3000);
    });
    all.insertBefore(frame, button);
  }

  /** The chat is there, also once more: in another place of the page a frame begins anew. */
  function begin() {
    const again = ready;
    ready = true;
    button.classList.add("there");
    tell(frame.hidden ? "switchboard:closed" : "switchboard:open", !again);
  }

  /** A browser that blocks the frame shows an empty one, and says why in its own words only. */
  function giveUp() {
    if (ready) return;
    problem.hidden = frame.hidden;
    frame.remove();
    frame = null; // the next press tries again
    button.classList.remove("open");
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", label);
    problem.textContent = _("The chat cannot be opened here right now. Please try again later.");
    console.error("switchboard: the chat did not start. " + why());
  }

  function why() {
    if (forbidden) return `This page's Content-Security-Policy forbids its frame. Add to it: frame-src ${host}`;
    if (origin === "null") return "This page is in a sandbox, without an origin that could be among the chatbot's sites.";
    return `If ${origin} is not among the chatbot's sites, add it: at the desk under Chatbots, Website. With and without www. are two sites.`;
  }

  function show(open) {
    problem.hidden = true;
    if (!frame) makeFrame();
    frame.hidden = !open;
    button.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
    button.setAttribute("aria-label", open ? _("Close the chat") : label);
    if (open) unread(0);
    fit();
    tell(open ? "switchboard:open" : "switchboard:closed", true);
    (open ? frame : button).focus();
  }

  /** A keyboard on the screen covers a part of a page that stays as high as before: a chat as large as the screen ends above it. */
  function fit() {
    if (!frame || !window.visualViewport) return;
    const { height, offsetTop, scale } = visualViewport;
    const isCovered = matchMedia("(max-width: 480px), (max-height: 420px)").matches && scale === 1 && height < innerHeight - 50;
    frame.style.height = isCovered ? `${height}px` : "";
    frame.style.top = isCovered ? `${offsetTop}px` : "";
  }

  function unread(number) {
    count.hidden = !number;
    count.textContent = number > 9 ? "9+" : String(number);
    said.textContent = number ? label + ", " + _("{number} unread").replace("{number}", number) : "";
    if (number) button.setAttribute("aria-label", said.textContent);
  }

  button.addEventListener("click", () => show(!frame || frame.hidden));
  button.addEventListener("keydown", ({ key }) => key === "Escape" && frame && !frame.hidden && show(false));
  addEventListener("message", (event) => {
    if (event.origin !== host || !frame || event.source !== frame.contentWindow || !event.data) return;
    if (event.data.type === "switchboard:ready") begin();
    if (event.data.type === "switchboard:close") show(false);
    if (event.data.type === "switchboard:unread" && frame.hidden) unread(Number(event.data.count) || 0);
  });
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    forbidden ||= ["frame-src", "child-src"].includes(effectiveDirective) && blockedURI.startsWith(host);
  });
  visualViewport?.addEventListener("resize", fit);
  visualViewport?.addEventListener("scroll", fit);

  /** Pages that load the next one into theirs (Turbo, htmx) put another body there, or replace all that is in it. The chat goes on.
   * Whoever removes the element alone does not want it any more. */
  function stay(changes) {
    const added = new Set(changes.flatMap(({ addedNodes }) => [...addedNodes]));
    const isReplaced = element.parentNode || ![...document.body.children].some((one) => !added.has(one));
    if (element.isConnected || !isReplaced) return;
    document.querySelectorAll("switchboard-chat").forEach((one) => one.shadowRoot || one.remove()); // a copy of it
    place();
  }

  function place() {
    const observer = new MutationObserver((changes) => {
      if (element.isConnected || !document.body) return;
      observer.disconnect();
      stay(changes);
    });
    document.body.append(element);
    observer.observe(document.documentElement, { childList: true });
    observer.observe(document.body, { childList: true });
  }

  document.body ? place() : addEventListener("DOMContentLoaded", place);
})();
