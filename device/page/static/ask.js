// Ask: each photo becomes a card that fills in when the bin has answered.
import { correct, drawBars, percent, words } from "./words.js";

const zone = document.getElementById("ask");
const answers = document.getElementById("asked");
const template = document.getElementById("answer");
const bytesAtMost = Number(zone.dataset.bytesAtMost);
const pixelsAtMost = Number(zone.dataset.pixelsAtMost);
const SHORT_SIDE = 1024; // pixels; the model looks at 224
const SHRINK_BYTES = 3_000_000;
const TRIES_WHILE_BUSY = 4;
const BIN_READS = ["image/jpeg", "image/png", "image/webp"];

/** The file as it is, or as a small upright JPEG where it is large or of a kind that only the browser can read. */
async function shrink(file) {
  try {
    const whole = await createImageBitmap(file, { imageOrientation: "from-image" });
    const pixels = whole.width * whole.height;
    if (file.size <= SHRINK_BYTES && pixels <= pixelsAtMost && BIN_READS.includes(file.type)) {
      whole.close();
      return file;
    }
    const scale = Math.min(1, SHORT_SIDE / Math.min(whole.width, whole.height), Math.sqrt(pixelsAtMost / pixels));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.floor(whole.width * scale), Math.floor(whole.height * scale)];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    return await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  } catch {
    return file;
  }
}

/**
 * What the bin answers. Of very many photos the later ones wait until it takes them, and one that finds it busy is asked
 * about again a few times; `tell` says so.
 */
async function question(blob, tell, tries = TRIES_WHILE_BUSY) {
  const form = new FormData();
  form.append("photo", blob, "photo");
  const response = await fetch(zone.dataset.url, { method: "POST", body: form, headers: { Accept: "application/json" } });
  const answer = await response.json().catch(() => ({}));
  const waitS = response.headers.get("Retry-After");
  const isBusy = response.status === 503 && waitS && tries > 0;
  if (response.status === 429 || isBusy) {
    tell(isBusy ? words.busy : answer.error);
    await new Promise((done) => setTimeout(done, 1000 * (waitS || 5)));
    return question(blob, tell, isBusy ? tries - 1 : tries);
  }
  if (!response.ok) throw new Error(answer.error ?? words.no_answer);
  return answer;
}

function fill(card, answer, blob) {
  const part = (name) => card.querySelector(name);
  part(".answer-state").hidden = true;
  part(".answer-material").textContent = `${answer.words.material} · ${percent(answer.probabilities[answer.material])}`;
  part(".answer-goes").textContent = words.goes_to;
  const chip = part(".chip");
  chip.textContent = answer.words.compartment;
  chip.classList.add(answer.words.class);
  part(".answer-doubt").textContent = words[answer.verdict] ?? "";
  part("summary").textContent = words.likely;
  drawBars(part(".bars"), answer.probabilities);
  for (const name of [".answer-material", ".answer-way", "details"]) part(name).hidden = false;
  part(".answer-doubt").hidden = answer.verdict === "sure";
  part("details").open = answer.verdict !== "sure" || matchMedia("(min-width: 46rem)").matches;
  const correction = part(".correct");
  if (correction) offerCorrection(correction, blob);
}

function offerCorrection(form, blob) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const sent = new FormData();
    sent.append("photo", blob, "photo");
    sent.append("material", event.submitter.value);
    correct(form, event.submitter, form.dataset.url, sent);
  });
}

async function show(file) {
  const card = template.content.firstElementChild.cloneNode(true);
  const image = card.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.alt = words.photo;
  image.addEventListener("error", () => {
    const name = document.createElement("code"); // of several files, which one it was
    name.textContent = file.name;
    image.replaceWith(name);
  });
  const tell = (sentence) => { card.querySelector(".answer-state").textContent = sentence; };
  tell(words.asking);
  answers.prepend(card);
  bringIntoSight(card);
  try {
    const blob = await shrink(file);
    if (blob.size > bytesAtMost) throw new Error(words.too_large);
    fill(card, await question(blob, tell), blob);
  } catch (fault) {
    card.classList.add("wrong");
    tell(fault instanceof TypeError ? words.no_answer : fault.message);
  }
  bringIntoSight(card);
}

/** The answer stands below the photo, and on a phone that is below the screen. */
function bringIntoSight(card) {
  card.scrollIntoView({ block: "nearest" });
}

/** One after the other: the bin judges one photo at a time anyway. */
async function showAll(files) {
  for (const file of files) await show(file);
}

for (const input of zone.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => { showAll([...input.files]); input.value = ""; });
}
addEventListener("paste", (event) => showAll([...event.clipboardData.files]));
addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); showAll([...event.dataTransfer.files]); });
