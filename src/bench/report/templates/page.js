"use strict";
// Tables sort by a click on a heading; without this script they are read as they are.
const number = (text) => (/^[+-]?[\d.]+/.test(text = text.replace(/[$,]/g, "")) ? parseFloat(text) : NaN);
const text = (row, column) => row.cells[column]?.textContent.trim() ?? "";

function sort(table, heading, column) {
  const body = table.tBodies[0], up = heading.getAttribute("aria-sort") !== "ascending";
  const rows = [...body.rows].filter((row) => !row.classList.contains("fixed"));
  const fixed = [...body.rows].filter((row) => row.classList.contains("fixed"));
  const known = rows.map((row) => text(row, column)).filter((value) => value && value !== "-");
  const numeric = known.every((value) => !Number.isNaN(number(value)));
  const compare = (a, b) => (numeric ? number(a) - number(b) : a.localeCompare(b, "en", { numeric: true }));
  const isMissing = (value) => !value || value === "-";
  rows.sort((one, other) => {
    const [a, b] = [text(one, column), text(other, column)];
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return up ? compare(a, b) : compare(b, a);
  });
  body.append(...rows, ...fixed);
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading, column));
    heading.append(button);
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

// MLflow shows the page in a sandboxed frame at a blob's address, where a click may lead nowhere, neither down the page nor out of it: links within the
// page scroll, the others lead to MLflow's own pages where a key opens a tab, and a click copies their address.
function copy(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

function follow(event) {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const inside = link.getAttribute("href")?.startsWith("#");
  if (inside) return document.querySelector(link.getAttribute("href")).scrollIntoView();
  const status = document.getElementById("copied");
  status.textContent = `${copy(link.href) ? "Copied: " : ""}${link.href}`;
  status.hidden = !link.href;
}

if (location.protocol === "blob:") {
  const mlflow = (document.referrer || location.href.replace(/^blob:/, "").replace(/[^/]*$/, "")).replace(/#.*/, "");
  document.documentElement.classList.add("in-frame");
  for (const link of document.querySelectorAll("a:not([href^='#'])")) {
    if (link.dataset.mlflow) link.href = mlflow + link.dataset.mlflow;
    else link.removeAttribute("href");
  }
  document.addEventListener("click", follow);
}
