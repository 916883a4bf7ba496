/* Sorting and filtering of the leaderboard. */
"use strict";

(() => {
  const filters = {
    text: document.getElementById("filter-text"),
    data: document.getElementById("filter-data"),
    split: document.getElementById("filter-split"),
    kind: document.getElementById("filter-kind"),
    status: document.getElementById("filter-status"),
  };
  const boards = [...document.querySelectorAll(".board")].map((section) => ({
    section,
    count: section.querySelector(".count"),
    rows: [...section.querySelectorAll(".runs tbody tr")].map((row) => ({
      row,
      name: row.cells[0].textContent.toLowerCase(),
    })),
  }));

  function filter() {
    const words = filters.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = (value, select) => !select.value || select.value === value;
    let runs = 0;
    let tables = 0;
    for (const { section, count, rows } of boards) {
      const here =
        wanted(section.dataset.data, filters.data) && wanted(section.dataset.split, filters.split);
      let shown = 0;
      for (const { row, name } of rows) {
        const match =
          here &&
          wanted(row.dataset.kind, filters.kind) &&
          wanted(row.dataset.status, filters.status) &&
          words.every((word) => name.includes(word));
        row.hidden = !match;
        shown += match;
      }
      section.hidden = shown === 0;
      count.textContent = shown;
      runs += shown;
      tables += shown > 0;
    }
    document.getElementById("shown").textContent =
      `${runs} ${runs === 1 ? "row" : "rows"} in ${tables} ${tables === 1 ? "table" : "tables"}`;
  }

  /* Numbers by size, texts by the alphabet; what is missing stays last in both directions. */
  function sort(header) {
    const row = header.parentElement;
    const index = [...row.cells].indexOf(header);
    const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = header.classList.contains("n");
    const body = header.closest("table").tBodies[0];
    const keys = [...body.rows].map((line) => {
      const cell = line.cells[index];
      if (!numeric) return { line, key: cell.textContent };
      return { line, key: "v" in cell.dataset ? Number(cell.dataset.v) : null };
    });
    keys.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return sign * (numeric ? a.key - b.key : a.key.localeCompare(b.key, "en", { numeric: true }));
    });
    for (const other of row.cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", direction);
    body.append(...keys.map(({ line }) => line));
  }

  for (const button of document.querySelectorAll(".runs thead button")) {
    button.addEventListener("click", () => sort(button.parentElement));
  }
  for (const control of Object.values(filters)) {
    control.addEventListener(control === filters.text ? "input" : "change", filter);
  }
  document.querySelector("form.filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("all-columns").addEventListener("change", (event) => {
    document.body.classList.toggle("all-columns", event.target.checked);
  });
  const first = filters.split.querySelector("[data-first]");
  if (first) filters.split.value = first.value;
  filter();
})();
