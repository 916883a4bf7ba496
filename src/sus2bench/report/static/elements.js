/* Errors by element as colours of the periodic table. */
"use strict";

(() => {
  const { sets } = report.data.elements; // [data set, name of its file]
  const choice = Object.fromEntries(
    ["data", "run", "split", "measure"].map((name) => [name, document.getElementById(name)]),
  );
  const cells = new Map(
    [...document.querySelectorAll("[data-element]")].map((cell) => [cell.dataset.element, cell]),
  );
  const caption = document.getElementById("periodic-caption");
  // Viridis, from large to small errors: dark colours stand out among light cells.
  const STOPS = ["#fde725", "#addc30", "#5ec962", "#28ae80", "#21918c", "#2c728e", "#3b528b", "#472d7b", "#440154"];

  function mix(part) {
    const place = Math.min(Math.max(part, 0), 1) * (STOPS.length - 1);
    const [low, high] = [Math.floor(place), Math.ceil(place)].map((index) =>
      [1, 3, 5].map((start) => parseInt(STOPS[index].slice(start, start + 2), 16)),
    );
    return low.map((value, index) => Math.round(value + (high[index] - value) * (place - Math.floor(place))));
  }

  /* Black or white, whichever stands out more (contrast as WCAG has it). */
  function onColour(rgb) {
    const [r, g, b] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
  }

  const short = (value) => report.number(Number(value.toPrecision(3)));

  function paint(elements, values) {
    const known = new Map(elements.map((symbol, index) => [symbol, values[index]]));
    const positive = values.filter((value) => value > 0).sort((a, b) => a - b);
    // Atoms that symmetry keeps from forces would take most of the colours for themselves.
    const cut = positive.length < 10 ? 0 : Math.ceil(0.05 * positive.length);
    const [least, largest] = [positive[cut], positive.at(-1 - cut)];
    for (const [symbol, cell] of cells) {
      const value = known.get(symbol) ?? null;
      cell.querySelector(".value").textContent = value === null ? "" : short(value);
      cell.classList.toggle("known", value !== null);
      const part = largest > least ? Math.log(Math.max(value, least) / least) / Math.log(largest / least) : 0.5;
      const rgb = mix(part);
      cell.style.background = value === null ? "" : `rgb(${rgb})`;
      cell.style.color = value === null ? "" : onColour(rgb);
    }
    document.getElementById("least").textContent = positive.length ? `≤ ${short(least)}` : "";
    document.getElementById("largest").textContent = positive.length ? `≥ ${short(largest)}` : "";
  }

  async function draw(slug) {
    const file = sets.find(([data]) => data === choice.data.value)[1];
    const { elements, runs } = await report.load(file);
    report.fill(choice.run, Object.entries(runs).map(([run, { label }]) => [run, label]));
    if (slug in runs) choice.run.value = slug;
    const { label, splits } = runs[choice.run.value];
    report.fill(choice.split, report.same(Object.keys(splits)), "test");
    const measures = splits[choice.split.value];
    report.fill(choice.measure, report.same(Object.keys(measures)));
    const values = measures[choice.measure.value];
    caption.textContent = `${choice.measure.value} of ${label} on ${choice.data.value}, ${choice.split.value}: ` +
      `${values.filter((value) => value !== null).length} elements`;
    document.getElementById("run-link").replaceChildren(
      report.runLink(choice.run.value, `All of the run ${label}`),
    );
    paint(elements, values);
  }

  async function start() {
    const slug = decodeURIComponent(location.hash.slice(1));
    const several = [...sets].sort((a, b) => b[2].length - a[2].length);
    const wanted = sets.find(([, , runs]) => runs.includes(slug)) ?? several[0];
    report.fill(choice.data, report.same(sets.map(([data]) => data)), wanted[0]);
    choice.data.value = wanted[0];
    await draw(slug);
  }

  for (const select of Object.values(choice)) select.addEventListener("change", () => draw());
  addEventListener("hashchange", start);
  if (sets.length) start();
})();
