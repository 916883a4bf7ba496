/* Parity plots of all runs on one split. */
"use strict";

(() => {
  const { runs } = report.data.parity; // [run, label, data, splits]
  const choice = Object.fromEntries(
    ["data", "split", "quantity"].map((name) => [name, document.getElementById(name)]),
  );
  const panels = document.getElementById("panels");
  const here = () => runs.filter((run) => run.data === choice.data.value);

  async function drawRun(place, run) {
    const all = await report.load(`parity/${run.run}`);
    const panel = (all[choice.split.value] ?? []).find((one) => one.quantity.startsWith(choice.quantity.value));
    if (panel) plots.parity(place, panel, run.label);
    else place.textContent = `${run.label}: no labels`;
  }

  function draw() {
    const splits = [...new Set(here().flatMap((run) => run.splits))];
    report.fill(choice.split, report.same(splits), "test");
    const shown = here().filter((run) => run.splits.includes(choice.split.value));
    panels.replaceChildren(
      ...shown.map((run) => {
        const place = report.element("div", { className: "plot" });
        plots.whenSeen(place, () => drawRun(place, run));
        return place;
      }),
    );
  }

  report.fill(choice.data, report.same([...new Set(runs.map((run) => run.data))]));
  report.fill(choice.quantity, [["energy", "energy"], ["force", "forces"], ["stress", "stress"]], "force");
  for (const select of Object.values(choice)) select.addEventListener("change", draw);
  draw();
})();
