/* Embeds the chat: <script src="https://host/widget.js" data-chatbot="pk_..." async></script>
 *
 * A launcher button; the first click makes an iframe of /widget/<chatbot>, so visitors who never open it cost nothing.
 * Optional: data-color="#3b5bdb", data-label="Chat with us", data-side="left". Its words are in the visitor's language.
 */
(() => {
  "use strict";
  const script = document.currentScript;
  const chatbot = script && script.dataset.chatbot;
  if (!chatbot) {
    console.error('switchboard: the script tag has no data-chatbot. Set data-chatbot="pk_...".');
    return;
  }
  if (document.querySelector("switchboard-chat")) return; // the page has the tag twice
  const host = new URL(script.src).origin;
  const words = {}; // by language, then by the English; the server has them
  const language = (navigator.languages ?? [navigator.language]).map((one) => one.slice(0, 2)).find((one) => one === "en" || words[one]);
  const _ = (english) => words[language]?.[english] ?? english;
  const color = /^#[0-9a-f]{6}$/i.test(script.dataset.color || "") ? script.dataset.color : "#3b5bdb";
  const label = script.dataset.label || _("Chat with us");
  const side = script.dataset.side === "left" ? "left" : "right";
  const css = `
    :host { all: initial; }
    button { position: fixed; ${side}: 20px; bottom: 20px; z-index: 2147483000; width: 60px; height: 60px; padding: 0;
      border: 0; border-radius: 50%; background: ${color}; color: ${readable(color)}; cursor: pointer;
      box-shadow: 0 6px 20px rgb(15 20 40 / 30%); display: grid; place-items: center; transition: transform .15s; }
    button:hover { transform: scale(1.05); }
    button:focus-visible { outline: 3px solid ${color}; outline-offset: 3px; }
    svg { width: 28px; height: 28px; }
    .open .talk, button:not(.open) .down { display: none; }
    .count { position: absolute; top: -2px; right: -2px; min-width: 22px; height: 22px; border-radius: 11px; background: #d92d20;
      color: #fff; font: 600 13px/22px system-ui, sans-serif; text-align: center; }
    [hidden] { display: none !important; }
    iframe { position: fixed; ${side}: 20px; bottom: 92px; z-index: 2147483000; width: 384px; max-width: calc(100vw - 40px);
      height: 620px; max-height: calc(100dvh - 112px); border: 0; border-radius: 18px; background: Canvas; color-scheme: light dark;
      box-shadow: 0 12px 48px rgb(15 20 40 / 28%); }
    @media (max-width: 480px), (max-height: 420px) {
      iframe { inset: 0; width: 100vw; max-width: none; height: 100dvh; max-height: none; border-radius: 0; }
      .open { display: none; }
    }
    @media (prefers-reduced-motion: reduce) { button { transition: none; } }
    @media (forced-colors: active) { button { border: 2px solid; } iframe { outline: 2px solid; outline-offset: -2px; } }`;

  const element = document.createElement("switchboard-chat");
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
  root.append(button);
  button.setAttribute("aria-label", label);
  let frame = null;
  let loaded = false;
  let ready = false;

  function readable(hex) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return r * 0.299 + g * 0.587 + b * 0.114 > 150 ? "#111" : "#fff";
  }

  function tell(type) {
    if (loaded) frame.contentWindow.postMessage({ type }, host);
  }

  function makeFrame() {
    frame = document.createElement("iframe");
    frame.title = label;
    frame.src = `${host}/widget/${encodeURIComponent(chatbot)}?color=${encodeURIComponent(color)}`;
    frame.hidden = true;
    frame.addEventListener("load", () => {
      loaded = true;
      tell(frame.hidden ? "switchboard:closed" : "switchboard:open");
      setTimeout(explain, 3000); // more than the page's script takes to say that it is there
    });
    root.insertBefore(frame, button);
  }

  /** A browser that blocks the frame shows an empty one, and says why in its own words only. */
  function explain() {
    if (ready) return;
    console.error(
      `switchboard: the chat did not start. If ${location.origin} is not among the chatbot's sites, add it: ` +
        "at the desk under Chatbots, Website. With and without www. are two sites.",
    );
  }

  function show(open) {
    if (!frame) makeFrame();
    frame.hidden = !open;
    button.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
    button.setAttribute("aria-label", open ? _("Close the chat") : label);
    if (open) unread(0);
    tell(open ? "switchboard:open" : "switchboard:closed");
    (open ? frame : button).focus();
  }

  function unread(number) {
    count.hidden = !number;
    count.textContent = number > 9 ? "9+" : String(number);
    if (number) button.setAttribute("aria-label", label + ", " + _("{number} unread").replace("{number}", number));
  }

  button.addEventListener("click", () => show(!frame || frame.hidden));
  addEventListener("message", (event) => {
    if (event.origin !== host || !frame || event.source !== frame.contentWindow || !event.data) return;
    if (event.data.type === "switchboard:ready") ready = true;
    if (event.data.type === "switchboard:close") show(false);
    if (event.data.type === "switchboard:unread" && frame.hidden) unread(Number(event.data.count) || 0);
  });
  document.body ? document.body.append(element) : addEventListener("DOMContentLoaded", () => document.body.append(element));
})();
