// Now: the page follows the bin's own events.
import { watch } from "./watch.js";
import { drawBars, listFaults, say, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const stage = $("stage");
const faults = new Map();
let state = "empty";
let newest = null;
let decidedAt = null;

const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const lidsOf = (name) => stage.querySelectorAll(`[data-compartment="${CSS.escape(name)}"]`);
const drawnLidOf = (name) => stage.querySelector(`.compartment[data-compartment="${CSS.escape(name)}"]`);
const wordOf = (name) => stage.querySelector(`li[data-compartment="${CSS.escape(name)}"] strong`)?.textContent.trim() ?? name;
const classOf = (name) => [...(drawnLidOf(name)?.classList ?? [])].find((one) => one.startsWith("compartment-")) ?? "";

const follow = {
  snapshot({ events, isAsked }) {
    faults.clear();
    for (const event of events) hear(event, false);
    drawFaults();
    if (isAsked) askForTray();
  },
  start(event) {
    if (event.start !== stage.dataset.start) location.reload();
  },
  state(event) {
    state = event.state;
    tellState();
  },
  lid(event) {
    for (const element of lidsOf(event.compartment)) {
      element.dataset.lid = event.state;
      const told = element.querySelector(".lid-state");
      if (told) told.textContent = words.lids[event.state];
    }
  },
  signal(event) {
    for (const lamp of stage.querySelectorAll("[data-signal]")) {
      const isLit = lamp.dataset.signal === event.signal;
      lamp.classList.toggle("lit", isLit);
      lamp.setAttribute("aria-current", String(isLit));
    }
    for (const drawn of stage.querySelectorAll(".compartment")) {
      drawn.classList.toggle("lit", drawn.dataset.compartment === event.compartment);
    }
  },
  decision(event, isNews) {
    if (event.time === decidedAt) return;
    decidedAt = event.time;
    showJudged(isNews);
    $("none-yet").hidden = true;
    $("decision").hidden = false;
    $("material").textContent = words.materials[event.material] ?? event.material;
    const chip = $("compartment");
    chip.className = `chip ${classOf(event.compartment)}`;
    chip.textContent = wordOf(event.compartment);
    $("when").textContent = clock.format(new Date(event.time * 1000));
    $("doubt").textContent = event.verdict === "sure" ? "" : words[event.verdict];
    drawBars($("bars"), event.probabilities ?? {}, 4);
  },
  fault(event, isNews) {
    if (event.is_over) faults.delete(event.part);
    else faults.set(event.part, event.message);
    if (isNews) drawFaults();
  },
  frame(event) {
    newest = event.picture;
    $("tray").src = newest;
    showTray();
  },
};

/** Nobody is asked to lay something down while nothing would be sorted. */
function tellState() {
  const sortsNothing = state !== "maintenance" && (faults.has("camera") || faults.has("tray"));
  say($("state"), sortsNothing ? words.fault : words[state]);
}

function drawFaults() {
  tellState();
  showTray();
  listFaults($("faults"), faults);
}

/** The tray for one who found no place in the stream: the next picture replaces the last when it has come. */
async function askForTray() {
  const picture = await decoded(`${stage.dataset.tray}?at=${Date.now()}`);
  if (!picture) return;
  $("tray").src = picture.src;
  showTray();
}

/** A picture of before the camera failed is nothing that it sees. */
function showTray() {
  const isSeen = $("tray").hasAttribute("src") && !faults.has("camera");
  $("tray").hidden = !isSeen;
  $("region").toggleAttribute("hidden", !isSeen);
  $("no-tray").hidden = isSeen;
}

/** What lay on the tray as it was judged: the picture that came with the decision; one of the past has none. */
async function showJudged(isNews) {
  const canvas = $("judged");
  const picture = isNews && newest ? await decoded(newest) : null;
  canvas.hidden = !picture;
  if (!picture) return;
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

async function decoded(address) {
  const picture = new Image();
  picture.src = address;
  return picture.decode().then(() => picture, () => null);
}

const hear = (event, isNews = true) => follow[event.event]?.(event, isNews);

watch(stage.dataset, hear, {
  found: tellState,
  lost: () => say($("state"), words.lost),
});
