// A chatbot's page: the test chat in its frame, and the line for the business's site while its looks are chosen.
"use strict";

// The chat's page keeps its visitor in this browser's storage, a test's apart from all others (`#test`).
const frame = document.querySelector(".test-frame");
if (frame) {
  const place = `switchboard:${frame.dataset.chatbot}:test:`;
  const token = JSON.parse(localStorage.getItem(`${place}token`) ?? '""');
  if (token.split(".")[0] !== frame.dataset.token.split(".")[0]) {
    for (const name of Object.keys(localStorage)) if (name.startsWith(place)) localStorage.removeItem(name);
  }
  localStorage.setItem(`${place}token`, JSON.stringify(frame.dataset.token));
  // Who has just begun it asks something: what is written must press no keys of the desk.
  if (location.hash === "#test") frame.addEventListener("load", () => frame.contentDocument.querySelector("textarea")?.focus({ preventScroll: true }), { once: true });
  frame.src = frame.dataset.src;
}

const embed = document.querySelector("[data-embed]");
if (embed) {
  const color = embed.querySelector("#embed-color");
  const label = embed.querySelector("#embed-label");
  const side = embed.querySelector("#embed-side");
  const field = embed.querySelector(".copyable input");
  const button = embed.querySelector(".embed-button");
  const quoted = text => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");
  const show = () => {
    const more = [["color", color.value === "#3b5bdb" ? "" : color.value], ["label", label.value.trim()], ["side", side.value === "left" ? "left" : ""]];
    const looks = more.filter(([, value]) => value).map(([name, value]) => ` data-${name}="${quoted(value)}"`).join("");
    field.value = `<script src="${embed.dataset.embed}/widget.js" data-chatbot="${embed.dataset.publicKey}"${looks} async></script>`;
    embed.querySelector("[data-copy]").dataset.copy = field.value;
    button.style.background = color.value;
    const [r, g, b] = [1, 3, 5].map(at => parseInt(color.value.slice(at, at + 2), 16));
    button.style.color = r * 0.299 + g * 0.587 + b * 0.114 > 150 ? "#111" : "#fff";
    button.classList.toggle("left", side.value === "left");
  };
  for (const one of [color, label, side]) one.addEventListener("input", show);
  show();
}
