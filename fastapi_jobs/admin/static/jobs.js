// What the pages do by themselves: refresh, ask before a change, open the menu, draw charts.
// Everything works without it but the charts, the questions and the refreshing.
"use strict";

const REFRESH_MS = 5000;

// Parts of a page that are marked data-live are fetched again and morphed in place, so that focus,
// scroll and selection stay. Nothing is fetched while the tab is hidden or a dialog is open.
const live = {
  busy: false,

  mayRefresh() {
    if (this.busy || document.hidden || document.querySelector("dialog[open]")) return false;
    const typing = document.activeElement;
    const inForm = typing && typing.closest("[data-live] form") && typing.matches("input:not([type=checkbox]), textarea, select");
    return !inForm && document.querySelector("[data-live]") !== null;
  },

  async refresh() {
    if (!this.mayRefresh()) return;
    this.busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Jobs-Live": "1" } });
      if (answer.status === 401 || answer.redirected) location.reload();
      const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
      // Meanwhile a dialog may have been opened: the form that it asks about must not become another.
      if (page && !document.querySelector("dialog[open]")) this.show(page);
      document.body.classList.toggle("jobs-stale", !answer.ok);
    } catch {
      document.body.classList.add("jobs-stale");
    } finally {
      this.busy = false;
    }
  },

  show(page) {
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.querySelector(`[data-live="${old.dataset.live}"]`);
      if (fresh === null || old.contains(document.activeElement?.closest("[popover]"))) continue;
      Idiomorph.morph(old, fresh, {
        ignoreActiveValue: true,
        callbacks: {
          // What a person chose stays chosen; a chart is drawn anew from its data.
          beforeAttributeUpdated: (name, node) =>
            !(name === "checked" && node.matches("input")) && !(name === "open" && node.matches("details")),
          beforeNodeMorphed: (node) => !(node.classList && node.classList.contains("jobs-plot")),
          beforeNodeRemoved: (node) => !(node.classList && node.classList.contains("jobs-plot")),
        },
      });
    }
    document.dispatchEvent(new Event("jobs:refreshed"));
  },
};
setInterval(() => live.refresh(), REFRESH_MS);
document.addEventListener("visibilitychange", () => live.refresh());

// A form with data-confirm-title asks before it is sent.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const dialog = document.getElementById("jobs-confirm");
  if (!form.dataset.confirmTitle || form.dataset.confirmed || dialog === null) return;
  event.preventDefault();
  const button = event.submitter;
  const action = form.getAttribute("action");
  dialog.querySelector("h2").textContent = form.dataset.confirmTitle;
  dialog.querySelector("p").textContent = form.dataset.confirmText;
  dialog.querySelector("[value=yes]").textContent = form.dataset.confirmYes || "Yes";
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    // A refresh may have made another form of it since.
    if (dialog.returnValue !== "yes" || form.getAttribute("action") !== action) return;
    form.dataset.confirmed = "1";
    form.requestSubmit(button || undefined);
  }, { once: true });
  dialog.showModal();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest(".jobs-menu-button");
  if (button === null) return;
  const menu = document.getElementById(button.getAttribute("aria-controls"));
  const open = menu.classList.toggle("is-open");
  button.setAttribute("aria-expanded", String(open));
});
