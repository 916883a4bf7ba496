/* Errors against costs, with Pareto fronts. */
"use strict";

(() => {
  const { groups, errors, costs, memory } = report.data.costs;
  const choice = Object.fromEntries(
    ["data", "split", "error"].map((name) => [name, document.getElementById(name)]),
  );
  const panels = document.getElementById("panels");
  const legend = document.getElementById("legend");
  const hiddenFamilies = new Set();
  const unique = (values) => [...new Set(values)];
  const families = unique(groups.flatMap((group) => group.points.map((point) => point.family)));
  families.sort((a, b) => a.localeCompare(b, "en"));
  const [SMALL, LARGE] = [7, 32]; // diameters of markers, pixels

  function drawn(group) {
    return group.points.filter((point) => !hiddenFamilies.has(point.family));
  }

  function traces(group, cost, error) {
    const largest = Math.max(...group.points.map((point) => point[memory] ?? 0));
    const known = drawn(group).filter((point) => point[cost] > 0 && point[error] > 0);
    return unique(known.map((point) => point.family)).map((family) => {
      const points = known.filter((point) => point.family === family);
      const index = families.indexOf(family);
      return {
        x: points.map((point) => point[cost]),
        y: points.map((point) => point[error]),
        customdata: points.map((point) => point.run),
        text: points.map(
          (point) =>
            `<b>${plots.plain(point.label)}</b> (${plots.plain(family)})` +
            `<br>${error}: ${report.number(point[error])}<br>${costs[cost]}: ${report.number(point[cost])}` +
            `<br>${memory}: ${report.number(point[memory])}`,
        ),
        hovertemplate: "%{text}<extra></extra>",
        mode: "markers",
        name: plots.plain(family),
        marker: {
          color: plots.colour(index),
          symbol: points.map((point) => plots.symbol(index) + (point[memory] ? "" : "-open")),
          size: points.map((point) => SMALL + (LARGE - SMALL) * Math.sqrt((point[memory] ?? 0) / (largest || 1))),
          opacity: 0.75,
          line: { width: 1.4, color: plots.colour(index) },
        },
      };
    });
  }

  function front(group, cost, error) {
    const points = group.fronts[error][cost].map((place) => group.points[place]);
    return {
      x: points.map((point) => point[cost]),
      y: points.map((point) => point[error]),
      mode: "lines",
      line: { shape: "hv", color: "#777", width: 1.2 },
      hoverinfo: "skip",
    };
  }

  function drawPanel(place, group, cost, error) {
    const known = group.points.filter((point) => point[cost] > 0 && point[error] > 0);
    place.hidden = known.length === 0;
    if (place.hidden) return;
    const floor = group.floor[error];
    const values = known.map((point) => point[error]).concat(floor > 0 ? [floor] : []);
    const shapes = floor > 0
      ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: floor, y1: floor, line: { dash: "dot", color: "#777", width: 1 } }]
      : [];
    plots.draw(
      place,
      [front(group, cost, error), ...traces(group, cost, error)],
      {
        shapes,
        xaxis: { ...plots.logarithmic(known.map((point) => point[cost])), title: { text: costs[cost] } },
        yaxis: { ...plots.logarithmic(values), title: { text: error } },
      },
      `${error} against ${costs[cost]} of ${known.length} runs on ${group.data}, ${group.split}; ` +
        "the front is in the table below",
    );
    if (!place.dataset.linked) {
      place.dataset.linked = "";
      place.on("plotly_click", ({ points: [point] }) => {
        if (point.customdata) location.href = `runs/${point.customdata}.html`;
      });
    }
  }

  function frontTable(group, cost, error) {
    const points = group.fronts[error][cost].map((place) => group.points[place]);
    const head = report.element("tr", {});
    for (const text of ["run", costs[cost], error]) {
      head.append(report.element("th", { scope: "col", className: text === "run" ? "" : "n" }, text));
    }
    const rows = points.map((point) =>
      report.element(
        "tr",
        {},
        report.element("th", { scope: "row" }, report.runLink(point.run, point.label)),
        report.element("td", { className: "n" }, report.number(point[cost])),
        report.element("td", { className: "n" }, report.number(point[error])),
      ),
    );
    const table = report.element(
      "table",
      { className: "small" },
      report.element("caption", {}, `Front of ${error} and ${costs[cost]}`),
      report.element("thead", {}, head),
      report.element("tbody", {}, ...rows),
    );
    return report.element("div", { className: "scroll", tabIndex: 0 }, table);
  }

  function drawLegend(group) {
    const here = families.filter((family) => group.points.some((point) => point.family === family));
    legend.replaceChildren(
      ...here.map((family) => {
        const index = families.indexOf(family);
        const swatch = report.element("span", { className: `swatch ${plots.symbol(index)}` });
        swatch.style.background = plots.colour(index);
        const button = report.element("button", { type: "button" }, swatch, family);
        button.setAttribute("aria-pressed", String(!hiddenFamilies.has(family)));
        button.addEventListener("click", () => {
          if (!hiddenFamilies.delete(family)) hiddenFamilies.add(family);
          button.setAttribute("aria-pressed", String(!hiddenFamilies.has(family)));
          drawPanels(group);
        });
        return button;
      }),
    );
  }

  function drawPanels(group) {
    Object.keys(costs).forEach((cost, index) => drawPanel(panels.children[index], group, cost, choice.error.value));
  }

  function draw() {
    const here = groups.filter((group) => group.data === choice.data.value);
    report.fill(choice.split, report.same(here.map((group) => group.split)), "test");
    const group = here.find((one) => one.split === choice.split.value);
    const known = errors.filter((error) => group.points.some((point) => point[error] !== null));
    report.fill(choice.error, report.same(known), errors[1]);
    drawLegend(group);
    drawPanels(group);
    const tables = Object.keys(costs)
      .filter((cost) => group.fronts[choice.error.value]?.[cost].length)
      .map((cost) => frontTable(group, cost, choice.error.value));
    document.getElementById("fronts").replaceChildren(...tables);
  }

  for (const cost of Object.keys(costs)) {
    panels.append(report.element("div", { className: "plot", id: `panel-${cost.replace(/\W+/g, "-")}` }));
  }
  const amount = (data) => Math.max(...groups.filter((group) => group.data === data).map((group) => group.points.length));
  const sets = unique(groups.map((group) => group.data));
  report.fill(choice.data, report.same(sets), [...sets].sort((a, b) => amount(b) - amount(a))[0]);
  for (const select of Object.values(choice)) select.addEventListener("change", draw);
  if (groups.length) draw();
})();
