// Keeps the parts of a page fresh that have unfinished jobs in them. Without it, the page asks
// the browser to load it again.
"use strict";

const EVERY_MS = 500;

// What did not change stays the same node: a button under a finger keeps its click and its focus.
function renew(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((node, nth) => {
    const known = before[nth];
    if (!known) {
      old.append(node);
    } else if (known.isEqualNode(node)) {
      return;
    } else if (node.nodeType === Node.ELEMENT_NODE && known.nodeName === node.nodeName) {
      for (const name of known.getAttributeNames()) {
        if (!node.hasAttribute(name)) known.removeAttribute(name);
      }
      for (const name of node.getAttributeNames()) {
        known.setAttribute(name, node.getAttribute(name));
      }
      renew(known, node);
    } else {
      known.replaceWith(node);
    }
  });
  before.slice(after.length).forEach((node) => node.remove());
}

async function refresh(part) {
  try {
    const answer = await fetch(part.dataset.fresh, { credentials: "same-origin" });
    if (answer.ok) {
      const fresh = document.createElement("template");
      fresh.innerHTML = await answer.text();
      renew(part, fresh.content);
    }
  } catch {
    // The server is away; the jobs are not. Ask again.
  }
  watch(part);
}

function watch(part) {
  if (part.querySelector("[data-unfinished]")) {
    setTimeout(() => refresh(part), EVERY_MS);
  }
}

document.querySelectorAll("[data-fresh]").forEach(watch);
