// Teach: one tap saves and the page stays where it is; without this script the form does the same with a reload.
import { correct, sentBy } from "./words.js";

for (const form of document.querySelectorAll("form.correct")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    correct(form, event.submitter, form.action, sentBy(form, event.submitter));
  });
}
