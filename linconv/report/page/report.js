// Tables sort by a click on a header and filter by words; without this script the page shows the same content.
"use strict";
(() => {
  const FILTERED_FROM = 8; // rows; shorter tables are seen at a glance

  // The number or the text that a cell sorts by; null for an empty or missing value, which stays last.
  const key = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    if (text === "" || text === "-") return null;
    const number = Number(text.replace(/,/g, ""));
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  // The headers of single columns with the position of their column, below headers of groups or beside them.
  const headers = (table) => {
    const found = [];
    const free = []; // positions in the second row
    const rows = [...table.tHead.rows];
    let position = 0;
    for (const cell of rows[0].cells) {
      if (cell.scope === "col") found.push([cell, position]);
      else for (let i = 0; i < cell.colSpan; i++) free.push(position + i);
      position += cell.colSpan;
    }
    if (rows[1]) [...rows[1].cells].forEach((cell, i) => found.push([cell, free[i]]));
    return found;
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    const given = [...body.rows];
    const columns = headers(table);
    for (const [header, position] of columns) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const order = { undefined: "ascending", ascending: "descending", descending: undefined }[header.ariaSort ?? undefined];
        for (const [other] of columns) other.removeAttribute("aria-sort");
        table.classList.toggle("sorted", order !== undefined);
        if (order === undefined) return body.append(...given);
        header.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const keyed = given.map((row) => [key(row.cells[position]), row]);
        keyed.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * compare(a, b)));
        body.append(...keyed.map(([, row]) => row));
      });
    }
  };

  const filterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const tools = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("output");
    tools.className = "tools";
    input.type = "search";
    input.placeholder = "words";
    label.append("Filter rows: ", input);
    tools.append(label, count);
    const show = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += !row.hidden;
      });
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    };
    input.addEventListener("input", show);
    show();
    table.closest(".scroll").before(tools);
  };

  for (const table of document.querySelectorAll("table.results")) {
    if (table.tBodies[0].rows.length > 1) sortable(table);
    if (table.tBodies[0].rows.length >= FILTERED_FROM) filterable(table);
  }

  // A link to a cell opens it.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.closest("details");
    if (details) {
      details.open = true;
      details.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();

  for (const section of document.querySelectorAll("section.runs")) {
    const cells = [...section.querySelectorAll("details.cell")];
    const button = document.createElement("button");
    button.type = "button";
    button.className = "all";
    const name = () => (button.textContent = cells.every((cell) => cell.open) ? "Close all" : "Open all");
    button.addEventListener("click", () => {
      const closed = cells.some((cell) => !cell.open);
      for (const cell of cells) cell.open = closed;
    });
    for (const cell of cells) cell.addEventListener("toggle", name);
    name();
    if (cells.length) cells[0].before(button);
  }
})();
