/* Follows the editor's saves, and lets the keyboard choose a view. The issue itself runs no script:
   its frames are sandboxed; this page only looks into them. */
"use strict";

const words = document.getElementById("words").dataset;
const said = document.getElementById("said");
const tabs = [...document.querySelectorAll("[role=tab]")];
const frames = [...document.querySelectorAll("iframe")];

/* --- views ---------------------------------------------------------------------------------- */

function choose(tab, { focus = false } = {}) {
  for (const other of tabs) {
    const chosen = other === tab;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    panel.hidden = !chosen;
    if (chosen) for (const frame of panel.querySelectorAll("iframe")) open(frame);
  }
  if (focus) tab.focus();
  history.replaceState(null, "", "#/" + tab.getAttribute("aria-controls"));
}

function open(frame) {
  if (!frame.hasAttribute("src")) frame.src = frame.dataset.src;
}

function step(event) {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  choose(tabs[(to + tabs.length) % tabs.length], { focus: true });
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tab = tabs.find((one) => one.dataset.key === event.key);
  if (tab) choose(tab, { focus: true });
  else step(event);
}

document.addEventListener("keydown", press);
for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
/* Keys pressed while a frame has the focus choose a view as well. */
for (const frame of frames) {
  frame.addEventListener("load", () => {
    if (frame.contentDocument) frame.contentDocument.addEventListener("keydown", press);
  });
}

/* --- following ------------------------------------------------------------------------------ */

let asked = Number(document.documentElement.dataset.version);
let running = Promise.resolve();

const source = new EventSource("/events");
source.onmessage = (event) => {
  document.getElementById("lost").hidden = true;
  const version = Number(event.data);
  if (version === asked) return;
  asked = version;
  running = running.then(() => follow(version)).catch(() => {});
};
source.onerror = () => {
  document.getElementById("lost").hidden = false;
  said.textContent = words.lost;
};
addEventListener("pagehide", () => source.close());

async function follow(version) {
  if (version !== asked) return; // a newer one waits already
  const opened = frames.filter((frame) => frame.hasAttribute("src"));
  await Promise.all([refreshPage(), ...opened.map(refreshFrame)]);
  document.documentElement.dataset.version = version;
  said.textContent = document.getElementById("head").dataset.said;
}

/* What is parsed obeys the policy of its parser's window: a mail is parsed in its own frame, where
   inline styles are allowed. */
async function read(address, parser) {
  const answer = await fetch(address, { cache: "no-store" });
  return answer.ok ? parser.parseFromString(await answer.text(), "text/html") : null;
}

async function refreshPage() {
  const fresh = await read("/", new DOMParser());
  const held = document.activeElement && document.activeElement.id;
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (part.outerHTML !== next.outerHTML) part.replaceWith(document.importNode(next, true));
  }
  const nothing = document.querySelector(".nothing");
  if (nothing && !fresh.querySelector(".nothing")) nothing.remove();
  if (held && document.activeElement === document.body) {
    const again = document.getElementById(held);
    if (again) again.focus({ preventScroll: true });
  }
}

/* The frame keeps its place: its document is changed under the reader's eyes, not loaded again. */
async function refreshFrame(frame) {
  const fresh = await read(frame.dataset.src, new frame.contentWindow.DOMParser());
  const shown = frame.contentDocument;
  if (!fresh) return;
  const place = shown.scrollingElement ? shown.scrollingElement.scrollTop : 0;
  shown.replaceChild(shown.adoptNode(fresh.documentElement), shown.documentElement);
  if (shown.scrollingElement) shown.scrollingElement.scrollTop = place;
}

/* --- from a finding to its passage ---------------------------------------------------------- */

const plain = (text) => text.normalize("NFKC").replace(/[’‘]/g, "'").replace(/\s+/g, " ").trim();

function locate(shown, sentence) {
  const all = plain(sentence).split(" ");
  for (const length of [8, 5, 3, 2]) {
    for (let from = 0; from === 0 || from + length <= all.length; from += 1) {
      const wanted = all.slice(from, from + length).join(" ");
      if (wanted.length < 6) continue;
      const found = [...shown.body.querySelectorAll("*")].filter((one) =>
        plain(one.textContent).includes(wanted));
      if (found.length) return found[found.length - 1];
    }
  }
  return null;
}

function show(button) {
  const panel = document.querySelector("[role=tabpanel]:not([hidden])");
  if (!panel.querySelector("iframe")) choose(tabs[0]);
  const frame = document.querySelector("[role=tabpanel]:not([hidden]) iframe");
  const look = () => {
    const found = frame.contentDocument && locate(frame.contentDocument, button.dataset.words);
    said.textContent = found ? words.found : words.missing;
    if (!found) return;
    found.scrollIntoView({ block: "center" });
    const before = found.style.cssText;
    found.style.cssText = before + ";outline:3px solid #d9822b;outline-offset:4px";
    setTimeout(() => { found.style.cssText = before; }, 2500);
  };
  if (frame.contentDocument && frame.contentDocument.body && frame.contentDocument.body.children.length) look();
  else frame.addEventListener("load", look, { once: true });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest && event.target.closest(".find");
  if (button) show(button);
});

choose(tabs.find((tab) => "#/" + tab.getAttribute("aria-controls") === location.hash) || tabs[0]);
