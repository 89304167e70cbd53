// Keys that are pressed while a page is loading are heard as soon as its scripts are there (keys.js).
"use strict";

const heardEarly = (() => {
  const events = [];
  const hear = event => events.push(event);
  addEventListener("keydown", hear);
  return { end: () => { removeEventListener("keydown", hear); return events; } };
})();
