// What the scripts say, in the visitor's language; the server puts it into the page.
export const words = JSON.parse(document.getElementById("words").textContent);
const token = document.querySelector("meta[name=csrf-token]").content;
export const percent = (share) => new Intl.NumberFormat(document.documentElement.lang, { style: "percent" }).format(share);

/** Write only what is new: a screen reader reads aloud whatever is written into what it listens to. */
export function say(element, sentence) {
  if (element.textContent !== sentence) element.textContent = sentence;
}

/** A form with the button that sends it, for browsers whose FormData takes no button. */
export function sentBy(form, button) {
  const sent = new FormData(form);
  sent.append(button.name, button.value);
  return sent;
}

/** Send a correction, and tell below its buttons whether it was saved, or why not. */
export async function correct(form, button, address, sent) {
  const response = await fetch(address, { method: "POST", body: sent, headers: { "X-CSRFToken": token, Accept: "application/json" } }).catch(() => null);
  const isSaved = Boolean(response?.ok);
  const { error = words.no_answer } = isSaved ? {} : (await response?.json().catch(() => null)) ?? {};
  form.querySelector("[role=status]").textContent = isSaved ? words.saved : `${words.not_saved} ${error}`;
  for (const one of form.querySelectorAll("button")) one.setAttribute("aria-pressed", String(isSaved && one === button));
}

/** The faults that hold, part → sentence; one that stands there already is not written, and so not read aloud, again. */
export function listFaults(list, faults) {
  const unsaid = new Map(faults);
  for (const item of [...list.children]) {
    const { part } = item.dataset;
    if (unsaid.get(part) !== item.querySelector("[lang]").textContent) item.remove();
    else unsaid.delete(part);
  }
  list.append(...[...unsaid].map(([part, message]) => {
    const item = document.createElement("li");
    const said = document.createElement("span");
    item.className = "notice wrong";
    item.dataset.part = part;
    said.lang = "en";
    said.textContent = message;
    item.append(...(part in words.faults ? [words.faults[part], " "] : []), said);
    return item;
  }));
}

/** A list of bars, the likeliest first, each in the colour of its compartment: `shares` material → 0…1. */
export function drawBars(list, shares, atMost = 99) {
  const sorted = Object.entries(shares).sort((a, b) => b[1] - a[1]).slice(0, atMost);
  list.replaceChildren(...sorted.map(([name, share]) => {
    const item = document.createElement("li");
    const [word, number, track, fill] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    item.className = words.classes[name] ?? "";
    word.textContent = words.materials[name] ?? name;
    number.textContent = percent(share);
    number.className = "share";
    track.className = "track";
    fill.className = "fill";
    track.append(fill);
    item.append(word, number, track);
    requestAnimationFrame(() => { fill.style.width = `${Math.max(share * 100, 0.5)}%`; });
    return item;
  }));
}
