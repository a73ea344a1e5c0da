// Health: lids move without a reload, and show what they do, faults come and go; without this script the forms do the same with one.
import { watch } from "./watch.js";
import { listFaults, say, sentBy, words } from "./words.js";

const TAPS_AT_ONCE_MS = 500; // a second tap so soon was meant for the button that stood there before
const lids = document.getElementById("lids");
const faults = new Map();
let switchedMs = -Infinity;

function heed(event, isNews = true) {
  if (event.event === "snapshot") {
    faults.clear();
    for (const one of event.events) heed(one, false);
    tellFaults();
  } else if (event.event === "state") {
    const isMaintenance = event.state === "maintenance";
    if (isMaintenance !== (lids.dataset.state === "maintenance")) switchedMs = performance.now();
    lids.dataset.state = event.state;
    const hadFocus = document.activeElement.matches("[data-shown-in]");
    for (const button of lids.querySelectorAll("[data-shown-in]")) button.hidden = (button.dataset.shownIn === "maintenance") !== isMaintenance;
    if (hadFocus) lids.querySelector("[data-shown-in]:not([hidden])").focus();
    for (const button of lids.querySelectorAll("[name=move]")) button.disabled = !isMaintenance;
  } else if (event.event === "lid") {
    const told = lids.querySelector(`[data-compartment="${CSS.escape(event.compartment)}"] .lid-state`);
    if (told) say(told, words.lids[event.state]);
  } else if (event.event === "fault") {
    if (event.is_over) faults.delete(event.part);
    else faults.set(event.part, event.message);
    if (isNews) tellFaults();
  }
}

function tellFaults() {
  listFaults(document.getElementById("faults"), faults);
  say(document.getElementById("connection"), "");
  document.getElementById("well").hidden = faults.size > 0;
}

function tellLost() {
  say(document.getElementById("connection"), words.lost);
  document.getElementById("well").hidden = true;
}

if (lids) {
  watch(lids.dataset, heed, { lost: tellLost });
  const reload = () => location.reload();
  for (const form of lids.querySelectorAll("form.move")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter.matches("[data-shown-in]") && performance.now() - switchedMs < TAPS_AT_ONCE_MS) return;
      fetch(form.action, { method: "POST", body: sentBy(form, event.submitter), headers: { Accept: "application/json" } })
        .then((response) => { if (!response.ok) reload(); }, reload);
    });
  }
}

const start = document.getElementById("start");
const LOOKS_EVERY_MS = 1000;

/** Shows the page anew once another start of the bin answers than the one that served it. */
function follow() {
  const looking = setInterval(() => {
    fetch(start.action, { cache: "no-store", headers: { Accept: "application/json" } })
      .then((response) => response.json())
      .then((now) => {
        if (now.start === start.dataset.start) return;
        clearInterval(looking); // once more would begin a slow page anew
        location.reload();
      }, () => {});
  }, LOOKS_EVERY_MS);
}

if (start) {
  start.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    fetch(start.action, { method: "POST", body: sentBy(start, button), headers: { Accept: "application/json" } }).then((response) => {
      if (!response.ok) return location.reload();
      const told = document.getElementById("start-hint");
      say(told, told.dataset.starting);
      return follow();
    }, () => { button.disabled = false; follow(); }); // the bin may have ended before its answer came
  });
}
