/* What every page shares: data files, choices, and printing. Plain scripts, as browsers do not load
   modules or fetch files from disk. */
"use strict";

const report = (() => {
  const root = document.documentElement.dataset.root;
  const data = {};
  const pending = {};

  /* Called by data files. */
  function put(name, value) {
    data[name] = value;
  }

  /* A promise of the value that a data file puts. */
  function load(name) {
    if (name in data) return Promise.resolve(data[name]);
    pending[name] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}data/${name}.js`;
      script.onload = () => resolve(data[name]);
      script.onerror = () => reject(new Error(`${script.src} is missing`));
      document.head.append(script);
    });
    return pending[name];
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  /* Fill a select with [value, text] pairs; keeps what was chosen, if it is still there. */
  function fill(select, pairs, preferred) {
    const before = select.value;
    select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
    const values = pairs.map(([value]) => value);
    select.value = [before, preferred, values[0]].find((value) => values.includes(value)) ?? "";
  }

  const same = (values) => values.map((value) => [value, value]);

  const runLink = (slug, label) => element("a", { href: `${root}runs/${slug}.html` }, label);

  /* Four significant digits, never a power of ten below a million. */
  function number(value) {
    if (value === null || value === undefined) return "–";
    return value.toLocaleString("en-GB", { maximumSignificantDigits: 4 });
  }

  /* What is folded away would be missing on paper. */
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      details.dataset.closed = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const details of document.querySelectorAll("details[data-closed]")) {
      details.open = false;
      delete details.dataset.closed;
    }
  });

  return { data, put, load, element, fill, same, runLink, number, root };
})();
