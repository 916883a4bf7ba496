/* Plots of the page of one run. */
"use strict";

(() => {
  const curves = document.getElementById("curves");
  if (curves) {
    Promise.all([report.load(`curves/${curves.dataset.run}`), report.load("curves")]).then(([found, { lines }]) => {
      for (const [line, label] of Object.entries(lines)) {
        if (!(line in found)) continue;
        const place = report.element("div", { className: "plot" });
        curves.append(place);
        const against = found[line].seconds.length ? "seconds" : "step";
        plots.whenSeen(place, () => plots.curves(place, [{ label, ...found[line] }], label, against));
      }
    });
  }
  const parities = document.getElementById("parities");
  if (parities) {
    report.load(`parity/${parities.dataset.run}`).then((splits) => {
      for (const [split, panels] of Object.entries(splits)) {
        for (const panel of panels) {
          const place = report.element("div", { className: "plot" });
          parities.append(place);
          plots.whenSeen(place, () => plots.parity(place, panel, `${split}: ${panel.quantity}`));
        }
      }
    });
  }
})();
