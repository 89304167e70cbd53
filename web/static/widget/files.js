/* Pictures, voices and documents: those of the message that is being written, and those of the conversation. */
"use strict";

/** Bytes of a file, and files of a message; the server looks at what they are. */
const MAX_FILE = 10 * 1024 * 1024;
const MAX_FILES = 5;
let attached = []; // {name, size, kind, url, file, why}: of the message that is being written; file once it is uploaded
const previews = new Map(); // file -> url of a picture that was sent from this page

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
  const files = [...items].filter((item) => item.kind === "file" && item.getAsFile());
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
