// Out of reach: shows the page that was asked for as soon as the bin answers; at a kiosk nobody taps.
const LOOKS_EVERY_MS = 5000;

if (location.pathname !== "/offline") {
  setInterval(() => fetch("/manifest.webmanifest").then((answer) => answer.ok && location.reload(), () => {}), LOOKS_EVERY_MS);
}
