"use strict";
document.documentElement.classList.add("js");

/* Tables: sort by a heading, filter by name, number what is ranked. */
function valueOf(row, column) {
  const text = row.cells[column].dataset.value;
  return column === 1 ? text.toLowerCase() : text === "" ? null : Number(text);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
  return a - b;
}

function renumber(table, header) {
  const rows = [...table.tBodies[0].rows], sign = header.dataset.better === "higher" ? -1 : 1;
  const value = (row) => row.classList.contains("anchor") ? null : valueOf(row, header.cellIndex);
  const values = header.hasAttribute("data-ranks") ? rows.map(value).filter((each) => each !== null) : [];
  for (const row of rows) {
    const own = value(row), ranked = values.length > 0 && own !== null;
    row.cells[0].textContent = ranked ? 1 + values.filter((each) => sign * (each - own) < 0).length : "";
  }
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const before = header.getAttribute("aria-sort");
  const first = header.dataset.better === "higher" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = before === first ? other : first;
  for (const each of header.parentNode.cells) {
    if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", each === header ? order : "none");
  }
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const x = valueOf(a, column), y = valueOf(b, column);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * compare(x, y);
  });
  table.tBodies[0].append(...rows);
  renumber(table, header);
}

for (const table of document.querySelectorAll("table.board")) {
  for (const header of table.querySelectorAll(".columns th[aria-sort]")) {
    header.querySelector("button").addEventListener("click", () => sortBy(table, header));
  }
  const tools = table.closest(".corpus").querySelector(".tools");
  tools.hidden = false;
  const shown = tools.querySelector("output");
  tools.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const name = row.cells[1].textContent.toLowerCase();
      row.hidden = !words.every((word) => name.includes(word));
    }
    shown.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
}

/* Wide tables: a second bar above, and a shade at the right while there is more. */
for (const frame of document.querySelectorAll(".frame")) {
  const scroll = frame.querySelector(".scroll"), bar = document.createElement("div"), width = document.createElement("div");
  bar.className = "bar";
  bar.append(width);
  frame.before(bar);
  const update = () => {
    bar.hidden = scroll.scrollWidth <= scroll.clientWidth;
    /* Both go as far: the bar is wider than what is seen of the table by the table's own scroll bar. */
    width.style.width = `${scroll.scrollWidth + bar.clientWidth - scroll.clientWidth}px`;
    frame.style.setProperty("--bar", `${scroll.offsetWidth - scroll.clientWidth}px`);
    frame.classList.toggle("more", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 1);
  };
  let told = 0; // where the bar was put to follow the table: what it says then is no wish of the reader
  bar.addEventListener("scroll", () => { if (bar.scrollLeft !== told) scroll.scrollLeft = bar.scrollLeft; });
  scroll.addEventListener("scroll", () => { update(); bar.scrollLeft = scroll.scrollLeft; told = bar.scrollLeft; });
  new ResizeObserver(update).observe(scroll);
}

/* Pictures: one at a time, and the point under the pointer in words. */
for (const pictures of document.querySelectorAll(".pictures")) {
  const tabs = [...pictures.querySelectorAll("[role=tab]")];
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).classList.toggle("later", tab !== chosen);
    }
  };
  pictures.querySelector(".tabs").hidden = tabs.length < 2;
  if (tabs.length) select(tabs[0]);
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  });
  pictures.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[aria-roledescription=point], [aria-roledescription='rule mark'][aria-label]");
    if (mark) mark.closest("figure").querySelector(".pointed").textContent = mark.getAttribute("aria-label");
  });
}

/* One sound at a time. */
const sounds = [...document.querySelectorAll("audio")];
for (const sound of sounds) {
  sound.addEventListener("play", () => sounds.forEach((other) => other !== sound && other.pause()));
}

/* On paper everything is open. */
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
