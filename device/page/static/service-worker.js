// Keeps what never changes at hand, and says so where the bin cannot be reached. Pages themselves always come fresh.
const CACHE = "pilah-2";
const OFFLINE = "/offline";

const keepOffline = () => caches.open(CACHE).then((cache) => cache.add(OFFLINE));

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([OFFLINE, "/static/offline.js", "/static/style.css", "/static/icons/pilah.svg", "/static/vendor/lucide.svg", "/static/vendor/plus-jakarta-sans-latin-wght-normal.woff2"])));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((keys) => Promise.all(keys.filter((key) => key !== CACHE).map((key) => caches.delete(key)))));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const path = new URL(request.url).pathname;
  if (request.mode === "navigate") {
    const answer = fetch(request);
    event.respondWith(answer.catch(() => caches.match(OFFLINE)));
    if (path === "/language") event.waitUntil(answer.then(keepOffline).catch(() => {}));
  } else if (request.method === "GET" && path.startsWith("/static/")) {
    event.respondWith(fetch(request).catch(() => caches.match(request)));
  }
});
