// What the scripts say, in the visitor's language; the server puts it into the page.
export const words = JSON.parse(document.getElementById("words").textContent);
export const token = document.querySelector("meta[name=csrf-token]").content;
export const percent = (share) => new Intl.NumberFormat(document.documentElement.lang, { style: "percent" }).format(share);

/** A list of bars, the likeliest first: `shares` name → 0…1, `names` name → word. */
export function drawBars(list, shares, names, atMost = 12) {
  const sorted = Object.entries(shares).sort((a, b) => b[1] - a[1]).slice(0, atMost);
  list.replaceChildren(...sorted.map(([name, share]) => {
    const item = document.createElement("li");
    const [word, number, track, fill] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    word.textContent = names[name] ?? name;
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
