"use strict";
// The page is complete without this: it adds zoom to the timelines and keys to walk the findings.
const ALL = 1e6;
const LEAST = 100;

function offset(ns, span) {
  const digits = span > 5e9 ? 3 : span > 5e6 ? 6 : 9;
  return (ns < 0 ? "" : "+") + (ns / 1e9).toFixed(digits) + "s";
}

for (const figure of document.querySelectorAll("figure.timeline")) {
  const rows = figure.querySelector(".rows");
  const plots = [...rows.querySelectorAll("svg.plot")];
  const ticks = [...rows.querySelectorAll(".axis span")];
  const from = Number(rows.dataset.from);
  const len = Number(rows.dataset.len);
  let a = 0;
  let width = ALL;

  const show = (start, wide) => {
    width = Math.min(ALL, Math.max(LEAST, wide));
    a = Math.min(ALL - width, Math.max(0, start));
    for (const plot of plots) {
      plot.setAttribute("viewBox", `${a} 0 ${width} ${plot.dataset.h}`);
    }
    ticks.forEach((tick, i) => {
      const at = from + (len * (a + (width * i) / (ticks.length - 1))) / ALL;
      tick.textContent = offset(at, (len * width) / ALL);
    });
  };
  const zoom = (factor, at = 0.5) => show(a + width * at * (1 - factor), width * factor);
  const move = (part) => show(a + width * part, width);
  const acts = {
    in: () => zoom(0.5),
    out: () => zoom(2),
    left: () => move(-0.25),
    right: () => move(0.25),
    all: () => show(0, ALL),
  };
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" };
  const tools = figure.querySelector(".tools");
  tools.hidden = false;
  tools.addEventListener("click", (event) => {
    const act = acts[event.target.dataset?.do];
    if (act) act();
  });
  rows.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[act]();
  });
  const part = (x) => {
    const box = plots[0].getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - box.left) / box.width));
  };
  // A plain wheel scrolls the page; with Ctrl (or a pinch on a touch pad) it zooms.
  rows.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, part(event.clientX));
    },
    { passive: false },
  );
  rows.addEventListener("dblclick", (event) => zoom(0.25, part(event.clientX)));
  let held = null;
  rows.addEventListener("pointerdown", (event) => {
    if (event.button === 0) held = { x: part(event.clientX), a };
  });
  rows.addEventListener("pointermove", (event) => {
    if (held && event.buttons) show(held.a - (part(event.clientX) - held.x) * width, width);
  });
  addEventListener("pointerup", () => (held = null));
}

const findings = [...document.querySelectorAll("article")];
let current = -1;
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
  current = Math.min(findings.length - 1, Math.max(0, current + (event.key === "j" ? 1 : -1)));
  findings[current]?.focus();
  findings[current]?.scrollIntoView({ block: "start" });
});
