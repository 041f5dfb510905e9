// The overview of an archive: sorting, filters and marks. No library, no network; the table is there without it.
// Rows stand in groups that a browser lays out when they are near. Pictures and buttons are made then as well: so many
// thousands of them would take a browser longer than all else.
"use strict";
(() => {
  const KEYS = { u: "use", l: "look again", r: "reject" };
  const NAMES = Object.values(KEYS), OUTCOME = 1, WARNINGS = 9, GROUP = 100, FILTERS = ["text", "outcome", "marked"];
  const table = document.querySelector("table"), tools = document.getElementById("tools");
  const heads = Array.from(table.tHead.rows[0].cells), MARK = heads.length - 1;
  const buttons = document.getElementById("marks").content.firstElementChild;
  const find = (name) => tools.querySelector(`[data-part="${name}"]`);
  const place = `thinslice marks ${table.dataset.archive}`; // keys of rows are digests: no name of a scan goes there
  const words = new Map(); // of each row, what a text is looked for in
  const near = new IntersectionObserver(
    (seen) => seen.forEach((each) => each.isIntersecting && fill(each.target)), { rootMargin: "800px" });
  let rows = Array.from(table.tBodies, (group) => Array.from(group.rows)).flat(), marks = {}, first = null;

  const name = (row) => row.querySelector(".name-of");
  const comma = (number) => number.toLocaleString("en");
  const say = (number) => { find("shown").textContent = `${comma(number)} of ${comma(rows.length)} scans shown.`; };

  // --- marks: kept in the browser, by the key of the row --------------------------------------------

  function stored() {
    try {
      const found = JSON.parse(localStorage.getItem(place) || "{}");
      return Object.fromEntries(Object.entries(found).filter(([, mark]) => NAMES.includes(mark)));
    } catch {
      return null; // no storage here, or not ours
    }
  }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify(marks));
    } catch { // none, or it is full
      find("kept").textContent = "This browser keeps no marks: export them before you leave the page.";
    }
  }

  function paint(row) {
    const mark = marks[row.id];
    for (const button of row.cells[MARK]?.children ?? []) button.ariaPressed = String(button.textContent === mark);
  }

  function set(row, mark) {
    marks = stored() || marks; // another tab may have marked some
    if (marks[row.id] === mark) delete marks[row.id];
    else marks[row.id] = mark;
    keep();
    paint(row);
    count();
  }

  function count() {
    const found = Object.fromEntries(NAMES.map((name) => [name, 0]));
    const marked = rows.filter((row) => marks[row.id]);
    for (const row of marked) found[marks[row.id]] += 1;
    const each = NAMES.map((mark) => `${comma(found[mark])} ${mark}`).join(", ");
    find("counts").textContent = `Marked: ${each}; ${comma(rows.length - marked.length)} without a mark.`;
    find("export").disabled = marked.length === 0;
  }

  // --- export ------------------------------------------------------------------------------------------

  // A spreadsheet takes what begins with one of these for a formula: an apostrophe before it makes it text.
  const quoted = (text) => `"${(/^[=+\-@\t\r\n＝＋－＠]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;

  function output(row) {
    const link = Array.from(row.querySelectorAll(".links a")).find((each) => each.textContent === "result");
    try {
      return link ? decodeURIComponent(link.getAttribute("href")) : "";
    } catch {
      return link.getAttribute("href"); // a name that is no UTF-8
    }
  }

  function csv() {
    const line = (row) => [name(row).textContent, output(row), marks[row.id]].map(quoted).join(",");
    return ["scan,output,mark", ...rows.filter((row) => marks[row.id]).map(line), ""].join("\r\n");
  }

  function download() {
    const link = document.createElement("a"), href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    Object.assign(link, { href, download: "marks.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  // --- order -------------------------------------------------------------------------------------------

  function value(row, column, isNumber) {
    if (column === MARK) return marks[row.id] || "";
    const text = (column === 0 ? name(row) : row.cells[column]).textContent;
    return isNumber && text ? Number(text.replace("\u2212", "-")) : text;
  }

  function sort(head) {
    const column = heads.indexOf(head), isNumber = !head.classList.contains("words");
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    const text = new Intl.Collator("en", { numeric: true }).compare;
    const compare = isNumber ? (a, b) => a - b : text;
    const keyed = rows.map((row) => [value(row, column, isNumber), row]);
    const full = keyed.filter(([key]) => key !== "").sort((a, b) => sign * compare(a[0], b[0]));
    rows = [...full, ...keyed.filter(([key]) => key === "")].map(([, row]) => row);
    for (const each of heads) each.removeAttribute("aria-sort");
    head.ariaSort = sign > 0 ? "ascending" : "descending";
    arrange();
  }

  // --- filters -----------------------------------------------------------------------------------------

  function says(row) {
    if (!words.has(row)) {
      const cells = [name(row), row.cells[OUTCOME], row.cells[WARNINGS]];
      words.set(row, cells.map((cell) => cell.textContent).join("\n").toLowerCase());
    }
    return words.get(row);
  }

  function arrange() {
    const [text, outcome, marked] = FILTERS.map((part) => find(part).value);
    const wanted = text.trim().toLowerCase();
    const shown = rows.filter((row) => (!outcome || row.dataset.outcome === outcome) &&
      (!marked || (marks[row.id] || "none") === marked) && (!wanted || says(row).includes(wanted)));
    near.disconnect();
    for (const group of Array.from(table.tBodies)) group.remove();
    for (let k = 0; k < shown.length; k += GROUP) table.createTBody().append(...shown.slice(k, k + GROUP));
    watch();
    say(shown.length);
  }

  function watch() {
    const [group] = table.tBodies;
    if (group) fill(group);
    for (const each of table.tBodies) near.observe(each);
    start(group && group.rows[0]);
  }

  function fill(group) {
    for (const row of group.rows) {
      if (row.cells[MARK]) continue;
      const unseen = row.querySelector("noscript"); // with scripts, a browser leaves what is in it as text
      if (unseen) {
        const picture = new DOMParser().parseFromString(unseen.textContent, "text/html").body.firstElementChild;
        unseen.replaceWith(document.importNode(picture, true));
      }
      row.append(buttons.cloneNode(true));
      paint(row);
    }
  }

  // --- keys: one row can be reached by Tab, others by arrows from there -----------------------------------

  function start(row) {
    if (!row || row === first) return;
    row.tabIndex = 0;
    if (first) first.removeAttribute("tabindex");
    first = row;
  }

  function step(row, after) {
    const group = row.parentNode, beside = after ? group.nextElementSibling : group.previousElementSibling;
    let next = after ? row.nextElementSibling : row.previousElementSibling;
    if (!next && beside && beside !== table.tHead) {
      fill(beside);
      next = after ? beside.firstElementChild : beside.lastElementChild;
    }
    if (next) next.tabIndex = 0, next.focus(); // it is the first from then on, as any row that gets the focus
  }

  table.addEventListener("keydown", (event) => {
    const row = event.target.closest("tbody tr"), key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!row || event.ctrlKey || event.altKey || event.metaKey) return;
    if (key === "j" || key === "ArrowDown") step(row, true);
    else if (key === "k" || key === "ArrowUp") step(row, false);
    else if (Object.hasOwn(KEYS, key)) set(row, KEYS[key]);
    else return;
    event.preventDefault();
  });
  table.addEventListener("focusin", (event) => start(event.target.closest("tbody tr")));
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && table.tHead.contains(button)) sort(button.closest("th"));
    else if (button) set(button.closest("tr"), button.textContent);
  });
  for (const part of FILTERS) find(part).addEventListener("input", arrange);
  find("export").addEventListener("click", download);
  addEventListener("beforeprint", () => Array.from(table.tBodies).forEach(fill));
  addEventListener("storage", () => (marks = stored() || marks, rows.forEach(paint), count())); // marked in another tab

  heads[MARK].hidden = tools.hidden = false;
  for (const head of heads) head.firstElementChild.disabled = false;
  marks = stored() || (keep(), {}); // `keep` says where it cannot
  count();
  say(rows.length);
  watch();
  table.dataset.state = "ready";
})();
