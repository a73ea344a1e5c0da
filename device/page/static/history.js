// History: the chart of drops per day; the table beside it says the same.
const { days, series } = JSON.parse(document.getElementById("chart-values").textContent);
const style = getComputedStyle(document.documentElement);
const token = (name) => style.getPropertyValue(name).trim();
const language = document.documentElement.lang;
const isDark = matchMedia("(prefers-color-scheme: dark)");
/** Drawn over a lid's colour, which not everybody tells from its neighbour's. */
const HATCHES = ["", "M-2 10 10 -2M-2 2 2 -2M6 10 10 6", "M4 0V8", "M-2 -2 10 10M6 -2 10 2M-2 6 2 10", "M0 4H8", "M4 0V8M0 4H8"];

/** The colour of the lid of that number, lighter on a dark page as style.css shows it with `--seen`, and hatched. */
function hatched(number) {
  const { colour } = series[number];
  const pen = document.createElement("canvas").getContext("2d");
  pen.canvas.width = pen.canvas.height = 8 * devicePixelRatio;
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.fillStyle = isDark.matches ? `color-mix(in oklab, ${colour}, #fff 15%)` : colour;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = "#fff8";
  pen.stroke(new Path2D(HATCHES[number % HATCHES.length]));
  const pattern = pen.createPattern(pen.canvas, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / devicePixelRatio));
  return pattern;
}

/** Pixels. Below them come the names of the lids, each of which has its place. */
const BARS_AT_LEAST = 190;
const dayWord = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { day: "numeric", month: "short" }); // day first, as in the table

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.font.size = 0.75 * parseFloat(style.fontSize); // grows with the visitor's letters
Chart.defaults.color = token("--soft");

const chart = new Chart(document.getElementById("chart"), {
  type: "bar",
  data: {
    labels: days.map((day) => dayWord.format(new Date(`${day}T12:00`))),
    datasets: series.map(({ label, values }, number) => ({ label, data: values, backgroundColor: hatched(number), borderRadius: 3, maxBarThickness: 36 })),
  },
  options: {
    maintainAspectRatio: false,
    animation: false, // while it runs, Chart.js may forget that there is more room by now
    interaction: { mode: "index", intersect: false },
    scales: {
      x: { stacked: true, grid: { display: false }, border: { color: token("--line") }, ticks: { maxRotation: 0, autoSkipPadding: 8 } },
      y: { stacked: true, beginAtZero: true, ticks: { precision: 0 }, grid: { color: token("--line") }, border: { display: false } },
    },
    plugins: { legend: { position: "bottom", maxHeight: Infinity, labels: { boxWidth: 12, boxHeight: 12, useBorderRadius: true, borderRadius: 6, padding: 18 } } },
  },
  plugins: [{
    id: "room",
    afterLayout({ canvas, height, chartArea }) { canvas.parentElement.style.minHeight = `${BARS_AT_LEAST + height - chartArea.height}px`; },
  }],
});

isDark.addEventListener("change", () => {
  chart.data.datasets.forEach((dataset, number) => { dataset.backgroundColor = hatched(number); });
  Chart.defaults.color = token("--soft");
  chart.options.scales.y.grid.color = token("--line");
  chart.update();
});
