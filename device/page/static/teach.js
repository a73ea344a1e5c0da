// Teach: one tap saves and the page stays where it is; without this script the form does the same with a reload.
import { sentBy, words } from "./words.js";

for (const form of document.querySelectorAll("form.correct")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const response = await fetch(form.action, { method: "POST", body: sentBy(form, event.submitter), headers: { Accept: "application/json" } }).catch(() => null);
    form.querySelector("[role=status]").textContent = response?.ok ? words.saved : words.not_saved;
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Boolean(response?.ok) && button === event.submitter));
  });
}
