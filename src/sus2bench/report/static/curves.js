/* Learning curves of chosen runs. */
"use strict";

(() => {
  const { runs, lines } = report.data.curves; // runs: [slug, label, data set, columns, timed]
  const FIRST = 6;
  const choice = Object.fromEntries(
    ["data", "line", "against"].map((name) => [name, document.getElementById(name)]),
  );
  const list = document.getElementById("runs");
  const search = document.getElementById("runs-filter");
  const plot = document.getElementById("plot");
  let turn = 0;

  const here = () => runs.filter((run) => run.data === choice.data.value);
  const chosen = () => new Set([...list.querySelectorAll("input:checked")].map((box) => box.value));

  async function draw() {
    const mine = ++turn;
    const wanted = chosen();
    const among = here().filter((run) => wanted.has(run.run));
    const loaded = await Promise.all(among.map((run) => report.load(`curves/${run.run}`)));
    if (mine !== turn) return; // something else was chosen meanwhile
    const series = among
      .map((run, index) => ({ label: run.label, ...loaded[index][choice.line.value] }))
      .filter((line) => line.value);
    plots.curves(plot, series, lines[choice.line.value], choice.against.value);
  }

  function listRuns() {
    list.replaceChildren(
      ...here().map((run, index) => {
        const box = report.element("input", { type: "checkbox", value: run.run, checked: index < FIRST });
        box.addEventListener("change", draw);
        return report.element("li", {}, report.element("label", { className: "check" }, box, ` ${run.label}`));
      }),
    );
    const columns = Object.keys(lines).filter((line) => here().some((run) => run.lines.includes(line)));
    report.fill(choice.line, columns.map((line) => [line, lines[line]]));
    const timed = here().some((run) => run.timed);
    report.fill(choice.against, [["step", "training step"], ...(timed ? [["seconds", "training time"]] : [])]);
    filter();
    draw();
  }

  function filter() {
    const text = search.value.toLowerCase();
    for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(text);
  }

  const sets = [...new Set(runs.map((run) => run.data))];
  report.fill(choice.data, report.same(sets));
  choice.data.addEventListener("change", listRuns);
  choice.line.addEventListener("change", draw);
  choice.against.addEventListener("change", draw);
  search.addEventListener("input", filter);
  if (runs.length) listRuns();
})();
