// A file in the composer: chosen, dropped or pasted, and sent with what is written, while the page says how far that is. What was not sent
// stays as it is, and is sent again with the key of its form: the server knows one that has arrived. Without this script the composer is
// a plain form.
"use strict";

(() => {
  const composer = document.getElementById("composer");
  const input = document.getElementById("file");
  if (!composer || !input) return;
  const text = document.getElementById("reply");
  const attached = document.getElementById("attached");
  const [name, state, remove] = attached.children;
  const words = attached.dataset;
  const size = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "kilobyte", maximumFractionDigits: 0 });
  let upload = null;
  composer.classList.add("is-attachable");

  // ---- What is chosen. A note takes no file.
  const isNote = () => composer.elements.kind.value === "note";
  function say(words, isBad = false) {
    state.textContent = words;
    attached.classList.toggle("bad", isBad);
  }
  function show() {
    const [file] = input.files;
    attached.hidden = !file;
    name.textContent = file?.name ?? "";
    say(file ? size.format(Math.ceil(file.size / 1000)) : "");
    input.disabled = isNote();
    text.required = !file || isNote();
  }
  function chosen() {
    const [file] = input.files;
    show();
    if (file && file.size > words.most) { // its name stays, and says why it is not sent
      input.value = "";
      text.required = true;
      say(words.tooLarge, true);
    }
    text.focus();
  }
  function drop() {
    upload?.abort();
    input.value = "";
    show();
  }
  function take(files) {
    const one = new DataTransfer();
    one.items.add(files[0]);
    input.files = one.files;
    chosen();
  }
  input.addEventListener("change", event => { event.stopPropagation(); chosen(); });
  remove.addEventListener("click", () => { drop(); text.focus(); });
  composer.addEventListener("change", show);
  show();

  // ---- Dropping and pasting
  const thread = composer.closest(".thread");
  const brings = event => !upload && !isNote() && event.dataTransfer.types.includes("Files");
  thread.addEventListener("dragover", event => {
    if (!brings(event)) return;
    event.preventDefault();
    thread.classList.add("is-target");
  });
  thread.addEventListener("dragleave", () => thread.classList.remove("is-target"));
  thread.addEventListener("drop", event => {
    thread.classList.remove("is-target");
    if (!brings(event) || !event.dataTransfer.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  text.addEventListener("paste", event => {
    const { files } = event.clipboardData;
    if (upload || isNote() || !files.length || event.clipboardData.getData("text")) return; // a table is pasted as a picture, too
    event.preventDefault();
    take(files);
  });

  // ---- Sending
  composer.addEventListener("submit", event => {
    if (event.defaultPrevented || isNote() || !input.files.length) return;
    event.preventDefault();
    if (!upload) send(new FormData(composer));
  });
  function send(form) {
    upload = new XMLHttpRequest();
    upload.open("POST", composer.action);
    upload.responseType = "document";
    upload.timeout = 60_000;
    upload.setRequestHeader("Accept", "text/html");
    upload.upload.addEventListener("progress", event => {
      const part = event.total ? event.loaded / event.total : 0;
      say(part < 1 ? words.sending.replace("{}", Math.floor(100 * part)) : words.arrived);
    });
    upload.addEventListener("loadend", ended);
    composer.setAttribute("aria-busy", "true");
    text.readOnly = true;
    say(words.sending.replace("{}", 0));
    upload.send(form);
  }
  function ended({ target: { status, response } }) {
    upload = null;
    composer.removeAttribute("aria-busy");
    text.readOnly = false;
    const fresh = response?.getElementById("composer");
    if (fresh) composer.elements.key.value = fresh.elements.key.value;
    if (status === 200 && fresh) {
      drop();
      text.value = "";
      text.dispatchEvent(new Event("input", { bubbles: true }));
      htmx.trigger("#thread", "changed");
    } else if (input.files.length) { // else it was removed while it was sent
      const broke = !status && navigator.onLine || status === 408; // what takes too long to arrive is not read to its end
      say(response?.querySelector(".thread .notice.bad")?.textContent.trim() || (broke ? words.slow : words.failed), true);
      if (status) leaveIfRefused(); // who may see the page no longer is led to the login
    }
    text.focus();
  }
})();
