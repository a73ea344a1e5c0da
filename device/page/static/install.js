// Makes the page installable; browsers allow this over HTTPS and on localhost only.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/service-worker.js").catch(() => {});
