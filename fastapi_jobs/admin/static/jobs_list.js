// The list of jobs: choosing rows, copying ids; and a change of many jobs, chunk after chunk.
// Without it the boxes and buttons send plain forms.
"use strict";

const CHUNK = 200;

const pick = {
  form: document.getElementById("jobs-pick"),
  boxes: () => [...document.querySelectorAll("input[form=jobs-pick][name=id]")],

  show() {
    const boxes = this.boxes();
    const chosen = boxes.filter((box) => box.checked);
    const all = document.getElementById("jobs-pick-all");
    all.closest("label").hidden = boxes.length === 0;
    all.checked = boxes.length > 0 && chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && !all.checked;
    this.form.querySelector(".jobs-pick-count").textContent = chosen.length ? `${chosen.length} chosen` : "";
    for (const button of this.form.querySelectorAll("button[name=action]")) {
      button.disabled = !chosen.some((box) => box.dataset.actions.split(" ").includes(button.value));
    }
  },

  start() {
    document.getElementById("jobs-pick-all").addEventListener("change", (event) => {
      for (const box of this.boxes()) box.checked = event.target.checked;
      this.show();
    });
    document.addEventListener("change", (event) => {
      if (event.target.matches("input[form=jobs-pick]")) this.show();
    });
    document.addEventListener("jobs:refreshed", () => this.show());
    // A page that comes back from the browser's memory has its boxes as they were.
    window.addEventListener("pageshow", () => this.show());
    this.show();
  },
};
if (pick.form !== null) pick.start();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button === null) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1500);
  } catch {
    prompt("Copy the id:", button.dataset.copy); // pages without TLS may not write the clipboard
  }
});

// Open lists close when something else is clicked, or by Escape.
document.addEventListener("click", (event) => {
  for (const each of document.querySelectorAll("details.jobs-drop[open]")) {
    if (!each.contains(event.target)) each.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const open = document.querySelector("details.jobs-drop[open]");
  if (event.key !== "Escape" || open === null) return;
  open.open = false;
  open.querySelector("summary").focus();
});

const run = {
  form: document.querySelector("form[data-many]"),
  sum: { done: 0, asked: 0, refused: 0 },
  stopped: false,

  part: (name) => document.getElementById(`jobs-run-${name}`),

  words() {
    const { done, asked, refused } = this.sum;
    const told = [`${done.toLocaleString("en")} ${this.form.dataset.done}`];
    if (asked) told.push(`${asked.toLocaleString("en")} running asked to stop`);
    if (refused) told.push(`${refused.toLocaleString("en")} left as they are: their status, a unique key or your permission forbids it`);
    return told.join(", ");
  },

  tell(remaining) {
    const seen = this.sum.done + this.sum.asked + this.sum.refused;
    const bar = this.part("bar");
    bar.max = Math.max(remaining === 0 ? seen : seen + remaining, 1);
    bar.value = remaining === 0 ? bar.max : seen;
    this.part("told").textContent = `${this.words()}…`;
  },

  async chunk() {
    const body = new FormData(this.form);
    body.set("limit", CHUNK);
    // As an attribute: as a property it is the field of this name.
    const answer = await fetch(this.form.getAttribute("action"), { method: "POST", body: new URLSearchParams(body), headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(`the server answered ${answer.status}`);
    const out = await answer.json();
    for (const name of Object.keys(this.sum)) this.sum[name] += out[name];
    return out;
  },

  async all() {
    this.begin();
    try {
      for (;;) {
        const out = await this.chunk();
        this.tell(out.remaining);
        if (out.next_cursor === null) return this.end(`Done: ${this.words()}.`, true);
        this.form.elements.after.value = out.next_cursor;
        if (this.stopped) return this.end(`Stopped: ${this.words()}.`, false);
      }
    } catch (error) {
      this.end(`Stopped, as ${error.message}: ${this.words()}.`, false);
    }
  },

  begin() {
    this.stopped = false;
    this.part("yes").hidden = this.part("back").hidden = true;
    this.part("stop").hidden = this.form.elements.after === undefined;
    this.part("told").parentElement.hidden = false;
    this.tell(Number(this.form.dataset.total));
    this.part("stop").focus();
  },

  end(words, isAll) {
    this.part("told").textContent = words;
    this.part("stop").hidden = true;
    this.part("yes").hidden = isAll;
    this.part("yes").textContent = "Go on";
    this.part("back").hidden = false;
    this.part("back").textContent = "Back to the list";
    this.part("back").focus();
  },
};
if (run.form !== null) {
  run.form.addEventListener("submit", (event) => {
    event.preventDefault();
    run.all();
  });
  run.part("stop").addEventListener("click", () => { run.stopped = true; });
}
