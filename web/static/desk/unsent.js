// What somebody wrote into a form that did not arrive, because the session had ended or the server was in trouble, is in the form again
// when its page is opened next. The tab keeps it meanwhile: for who wrote it alone, and no secrets. The composer of a conversation
// keeps its own drafts (inbox.js). Pages without a person (login, errors) are where a form has landed that did not arrive.
"use strict";

const unsent = (() => {
  const PLACE = "desk unsent";
  const { user, unsent: told } = document.body.dataset;
  const addressOf = form => new URL(form.getAttribute("action") || location.href, location.href).pathname;
  const isKept = field => field.name && (field.name === "version" ||
    !field.matches("button, fieldset, output, [type=hidden], [type=password], [type=file], .secret, [data-secret]"));
  const isWritten = field => isKept(field) && field.matches("textarea, input:not([type=checkbox], [type=radio], [type=hidden])") &&
    field.value.trim() !== "" && field.value !== field.defaultValue;
  const isDraft = form => form.method === "post" && form.id !== "composer" && [...form.elements].some(isWritten);

  function keep(form, isUnsent = false) {
    const fields = [...form.elements].filter(isKept).map(({ name, value, checked }) => ({ name, value, checked }));
    const where = { user, action: addressOf(form), dialog: form.closest("dialog")?.id, page: location.pathname };
    try {
      sessionStorage.setItem(PLACE, JSON.stringify({ ...where, fields, isUnsent }));
    } catch { // the tab keeps no more than some megabytes; a page that has to go goes all the same
      sessionStorage.removeItem(PLACE);
    }
  }
  document.addEventListener("submit", event => {
    if (user && !event.defaultPrevented && isDraft(event.target)) keep(event.target);
  });

  function formOf(kept) {
    const found = [...document.forms].find(form => form.method === "post" && addressOf(form) === kept.action && form.id !== "composer" &&
      kept.fields.every(({ name }) => form.elements[name]));
    if (found || kept.page !== location.pathname || !kept.dialog) return found;
    const form = document.getElementById(kept.dialog)?.querySelector("form"); // its address is set by what opens it
    if (form) form.action = kept.action;
    return form;
  }

  function restore(kept) {
    const form = formOf(kept);
    if (!form) return;
    sessionStorage.removeItem(PLACE);
    const fields = [...form.elements].filter(isKept);
    for (const { name, value, checked } of kept.fields) {
      const at = fields.findIndex(field => field.name === name && (!field.matches("[type=radio]") || field.value === value));
      if (at < 0) continue;
      const [field] = fields.splice(at, 1);
      if (field.matches("[type=checkbox], [type=radio]")) field.checked = checked;
      else field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    form.prepend(Object.assign(document.createElement("p"), { className: "notice warn", role: "status", textContent: told }));
    form.closest("details")?.setAttribute("open", "");
    form.closest("dialog")?.showModal();
    [...form.elements].find(isWritten)?.focus();
  }

  const kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
  if (kept && !user) {
    sessionStorage.setItem(PLACE, JSON.stringify({ ...kept, isUnsent: true }));
    const note = document.getElementById("unsent");
    if (note) note.hidden = false;
  } else if (kept && (!kept.isUnsent || kept.user !== user)) {
    sessionStorage.removeItem(PLACE);
  } else if (kept) {
    addEventListener("DOMContentLoaded", () => restore(kept)); // the page's own scripts have run
  }
  // For a page that goes by itself, with what is being written in it.
  return { keepAll: () => [...document.forms].filter(isDraft).slice(0, 1).forEach(form => keep(form, true)) };
})();
