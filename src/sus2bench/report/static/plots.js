/* Plots that several pages draw with Plotly, which comes along in plotly.min.js. */
"use strict";

const plots = (() => {
  const colours = document.documentElement.dataset.colours.split(",");
  const symbols = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  const GRID = "#e3e6ea";

  const colour = (index) => colours[index % colours.length];
  const symbol = (index) => symbols[Math.floor(index / colours.length) % symbols.length];
  const dash = (index) => dashes[Math.floor(index / colours.length) % dashes.length];

  /* Plotly reads some tags in texts; a name may look like one. */
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  function tick(value) {
    return value >= 1e6 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3)));
  }

  /* Numbers to mark between two powers of ten: 1, 10, ... over decades, 1, 2, 5, ... over one, even
     steps over less. */
  function ticksBetween(low, high) {
    if (high - low < 0.7) {
      const rough = (10 ** high - 10 ** low) / 4;
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = power * [1, 2, 5, 10].find((digit) => digit * power >= rough);
      const first = Math.ceil(10 ** low / step);
      return Array.from({ length: 6 }, (_, index) => (first + index) * step);
    }
    const digits = high - low < 2 ? [1, 2, 5] : [1];
    const count = Math.ceil(high) - Math.floor(low) + 1;
    const powers = Array.from({ length: count }, (_, index) => Math.floor(low) + index);
    return powers.flatMap((exponent) => digits.map((digit) => digit * 10 ** exponent));
  }

  /* A logarithmic axis round some numbers, its ticks written in full. */
  function logarithmic(values) {
    const powers = values.filter((value) => value > 0).map(Math.log10);
    const [low, high] = [Math.min(...powers), Math.max(...powers)];
    const margin = Math.max(0.05 * (high - low), 0.04);
    const range = [low - margin, high + margin];
    const ticks = ticksBetween(...range);
    return { type: "log", range, tickvals: ticks, ticktext: ticks.map(tick) };
  }

  function layout(changes) {
    const axis = { showgrid: true, gridcolor: GRID, linecolor: "#666", ticks: "outside", zeroline: false };
    return {
      margin: { l: 66, r: 14, t: 32, b: 58 },
      paper_bgcolor: "#fff",
      plot_bgcolor: "#fff",
      font: { family: "system-ui, sans-serif", size: 12, color: "#1b1f24" },
      showlegend: false,
      hovermode: "closest",
      ...changes,
      xaxis: { ...axis, ...changes.xaxis },
      yaxis: { ...axis, ...changes.yaxis },
    };
  }

  const settings = {
    // Nothing leaves the reader's machine: by default Plotly offers to upload a plot.
    showSendToCloud: false,
    plotlyServerURL: "",
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };

  function draw(place, traces, changes, description) {
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", description);
    return Plotly.react(place, traces, layout(changes), settings);
  }

  /* Draw when a place comes into view, or on paper. */
  const waiting = new Map();
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => start(entry.target)),
    { rootMargin: "200px" },
  );
  function start(place) {
    const make = waiting.get(place);
    waiting.delete(place);
    watcher.unobserve(place);
    if (make) make();
  }
  function whenSeen(place, make) {
    waiting.set(place, make);
    watcher.observe(place);
  }
  addEventListener("beforeprint", () => [...waiting.keys()].forEach(start));

  /* One curve per run: series = [{label, step, seconds, value}]. */
  function curves(place, series, axis, against) {
    const drawn = series.filter((line) => line[against].length);
    const traces = drawn.map((line, index) => ({
      x: line[against],
      y: line.value,
      name: plain(line.label),
      mode: line.value.length > 1 ? "lines" : "markers",
      line: { color: colour(index), dash: dash(index), width: 1.6 },
      hovertemplate: `${plain(line.label)}<br>%{x:.4g}: %{y:.4g}<extra></extra>`,
    }));
    const all = (key) => drawn.flatMap((line) => line[key]);
    const range = all("value").length ? logarithmic(all("value")) : {};
    const sides = all(against).some((value) => value > 0) ? logarithmic(all(against)) : {};
    const title = against === "step" ? "training step" : "training time (s)";
    return draw(
      place,
      traces,
      {
        xaxis: { ...sides, title: { text: title } },
        yaxis: { ...range, title: { text: axis } },
        showlegend: drawn.length > 1,
        legend: { orientation: "h", y: -0.2, yanchor: "top" },
      },
      `${axis} against ${title} of ${drawn.map((line) => line.label).join(", ") || "no run"}`,
    );
  }

  /* Predicted against reference values: panel as report/parity.py makes it. */
  function parity(place, panel, title) {
    const [low, high] = panel.limits;
    const range = [low, high];
    const diagonal = { x: range, y: range, mode: "lines", line: { color: "#888", width: 1 }, hoverinfo: "skip" };
    const many = panel.values.toLocaleString("en-GB");
    const facts = [
      `RMSE ${report.number(panel.rmse)} ${panel.error_unit}`,
      `MAE ${report.number(panel.mae)} ${panel.error_unit}`,
      `${many} values`,
    ];
    const axis = (kind) => ({ range, title: { text: `${kind} (${panel.unit})` }, nticks: 6 });
    draw(
      place,
      [diagonal, panel.cells ? density(panel) : points(panel)],
      {
        title: { text: plain(title), font: { size: 13 }, x: 0.03, xanchor: "left" },
        xaxis: { ...axis("reference"), constrain: "domain" },
        yaxis: { ...axis("predicted"), scaleanchor: "x", constrain: "domain" },
        annotations: [
          {
            text: facts.join("<br>"),
            xref: "x domain", yref: "y domain", x: 0.03, y: 0.97, showarrow: false, align: "left",
            bgcolor: "rgba(255,255,255,0.7)",
          },
        ],
      },
      `${title}, ${panel.quantity} predicted against reference: ${facts.join(", ")}`,
    );
  }

  function points(panel) {
    return {
      x: panel.reference,
      y: panel.predicted,
      mode: "markers",
      marker: { color: colours[0], size: 4, opacity: 0.6 },
      hovertemplate: "%{x:.4g} → %{y:.4g}<extra></extra>",
    };
  }

  function density(panel) {
    const { bins, cells, counts } = panel;
    const [low, high] = panel.limits;
    const width = (high - low) / bins;
    const empty = () => Array.from({ length: bins }, () => Array(bins).fill(null));
    const [shade, full] = [empty(), empty()];
    cells.forEach((cell, place) => {
      const [row, column] = [Math.floor(cell / bins), cell % bins];
      shade[row][column] = Math.log10(counts[place]);
      full[row][column] = counts[place];
    });
    return {
      type: "heatmap",
      x0: low + width / 2, dx: width, y0: low + width / 2, dy: width,
      z: shade,
      text: full,
      colorscale: "Viridis",
      showscale: false,
      hovertemplate: "%{x:.4g} → %{y:.4g}: %{text} values<extra></extra>",
      hoverongaps: false,
    };
  }

  return { colour, symbol, plain, logarithmic, draw, whenSeen, curves, parity };
})();
