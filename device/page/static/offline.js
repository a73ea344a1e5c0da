// Out of reach: shows the page that was asked for as soon as the bin answers; at a kiosk nobody taps.
const LOOKS_EVERY_MS = 5000;

if (location.pathname !== "/offline") {
  const looking = setInterval(() => fetch("/manifest.webmanifest").then((answer) => {
    if (!answer.ok) return;
    clearInterval(looking); // a slow page would begin anew each time
    location.reload();
  }, () => {}), LOOKS_EVERY_MS);
}
