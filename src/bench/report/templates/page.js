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
