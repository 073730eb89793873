"use strict";
(() => {
  const root = document.documentElement;
  const charts = [...document.querySelectorAll(".chart")].map((place) => {
    const { data, layout } = JSON.parse(place.querySelector("script").textContent);
    return { place, data, layout, drawn: false };
  });

  // A colour is the name of a variable of the style sheet; it is looked up each time the scheme changes.
  const coloured = (value, style) => {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((entry) => coloured(entry, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, coloured(entry, style)]));
  };

  const axis = {
    gridcolor: "--grid", linecolor: "--line", zerolinecolor: "--grid", automargin: true, exponentformat: "SI",
  };
  const shared = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: [...Array(10).keys()].map((n) => `--c${n}`),
    margin: { l: 56, r: 16, t: 34, b: 46 }, hovermode: "closest",
    hoverlabel: { bgcolor: "--card", bordercolor: "--line", font: { color: "--ink" }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "--muted", activecolor: "--ink" },
    legend: { orientation: "h", traceorder: "normal", yanchor: "bottom", y: 1.02, x: 0, font: { color: "--muted" } },
  };

  const followers = (group) => charts.filter(({ place }) => place.dataset.group === group);
  const boxes = (does, group) => [...document.querySelectorAll(`input[data-${does}-of]`)]
    .filter((box) => box.dataset[`${does}Of`] === group);
  const asked = (group) => {
    const keys = boxes("key", group);
    const slider = [...document.querySelectorAll("input[data-smooth]")].find((it) => it.dataset.smooth === group);
    return {
      off: new Set(keys.filter((box) => !box.checked).map((box) => box.dataset.key)),
      log: boxes("log", group).some((box) => box.checked),
      share: boxes("share", group).some((box) => box.checked),
      smooth: slider ? Number(slider.value) : 0,
    };
  };

  // The mean of what came before, each value weighing less than the next; without a pull towards the first value.
  const smoothed = (values, weight) => {
    let sum = 0, weights = 0;
    return values.map((value) => {
      if (value === null) return null;
      sum = weight * sum + (1 - weight) * value;
      weights = weight * weights + (1 - weight);
      return sum / weights;
    });
  };
  const matrix = (trace, share) => {
    const rows = trace.z.map((row) => [row, row.reduce((sum, count) => sum + count, 0) || 1]);
    const told = (count, sum) => (share ? `${(100 * count / sum).toFixed(count && count < sum ? 1 : 0)}%` : String(count));
    return {
      ...trace,
      z: rows.map(([row, sum]) => row.map((count) => Math.sqrt(share ? count / sum : count))),  // the few are what counts
      text: rows.map(([row, sum]) => row.map((count) => (count || !trace.texttemplate ? told(count, sum) : ""))),
    };
  };
  const following = (chart) => {
    const group = chart.place.dataset.group;
    if (!group) return { data: chart.data, layout: chart.layout };
    const { off, log, share, smooth } = asked(group);
    const layout = { ...chart.layout, uirevision: "kept" };
    if (layout.meta && layout.meta.log) layout.yaxis = { ...layout.yaxis, type: log ? "log" : "linear", uirevision: log };
    let seen = 0;
    const data = chart.data.flatMap((given) => {
      const meta = given.meta || {};
      const shown = (meta.keys || []).every((key) => !off.has(key));
      if (meta.cycle && !shown) return [];
      const trace = meta.matrix ? matrix(given, share) : { ...given, visible: shown || "legendonly" };
      if (meta.cycle) trace.line = { ...trace.line, color: `--c${seen++ % 10}` };
      if (!smooth || !meta.smooth) return [trace];
      const faint = { ...trace, opacity: 0.25, showlegend: false, hoverinfo: "skip", hovertemplate: null, mode: "lines" };
      return [faint, { ...trace, y: smoothed(trace.y, smooth), mode: "lines" }];
    });
    return { data, layout };
  };

  const draw = (chart) => {
    const style = getComputedStyle(root);
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: "--ink" };
    const asks = following(chart);
    const layout = { ...shared, font, ...asks.layout };
    for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout)])) {
      if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...axis, ...layout[name] };
    }
    const tools = matchMedia("(hover: hover)").matches ? [["toImage", "resetScale2d"]] : [];
    const config = { responsive: true, displaylogo: false, modeBarButtons: tools };
    if (!tools.length) config.displayModeBar = false;
    Plotly.react(chart.place, coloured(asks.data, style), coloured(layout, style), config);
    if (!chart.drawn && chart.place.dataset.group) {  // a click in a legend ticks the box, which all charts follow
      const toggled = ({ data, curveNumber }) => {
        const [key] = (data[curveNumber].meta || {}).keys || [];
        const box = boxes("key", chart.place.dataset.group).find((it) => it.dataset.key === key);
        if (box) box.click();
        return !box;
      };
      chart.place.on("plotly_legendclick", toggled);
      chart.place.on("plotly_legenddoubleclick", () => false);
    }
    chart.drawn = true;
  };
  const redraw = () => charts.filter((chart) => chart.drawn).forEach(draw);
  const redrawGroup = (group) => followers(group).filter((chart) => chart.drawn).forEach(draw);
  document.addEventListener("input", ({ target }) => {
    const { keyOf, logOf, shareOf, smooth, onlyOf, search } = target.dataset;
    if (smooth !== undefined) target.nextElementSibling.value = Number(target.value).toFixed(2);
    const group = keyOf ?? logOf ?? shareOf ?? smooth;
    if (group !== undefined) redrawGroup(group);
    if (onlyOf !== undefined) only(target);
    if (search !== undefined) find(target);
  });

  const tables = (name) => [...document.querySelectorAll("[data-name]")].filter((it) => it.dataset.name === name);
  const only = (box) => tables(box.dataset.onlyOf).forEach((it) => it.classList.toggle("only", box.checked));
  const find = (field) => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = tables(field.dataset.search).flatMap((it) => [...it.querySelectorAll("tbody tr")]);
    for (const row of rows) {
      const there = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => there.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    field.closest(".controls").querySelector("output").value = words.length ? `${left} of ${rows.length}` : "";
  };
  document.querySelectorAll("input[data-only-of]").forEach(only);
  document.querySelectorAll("input[data-search]").forEach((field) => { if (field.value) find(field); });
  for (const button of document.querySelectorAll("button[data-clear]")) {
    button.addEventListener("click", () => {
      boxes("key", button.dataset.clear).forEach((box) => { box.checked = false; });
      redrawGroup(button.dataset.clear);
    });
  }

  if (charts.length) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((entry) => entry.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(charts.find((chart) => chart.place === entry.target));
      }
    }, { rootMargin: "400px" });
    // plotly itself hears of the window alone; a page is also laid out anew for a phone that turns, or a scroll bar
    const sized = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const drawn = target._fullLayout;
        if (drawn && Math.abs(drawn.width - target.clientWidth) > 1) Plotly.Plots.resize(target);
      }
    });
    for (const { place } of charts) {
      seen.observe(place);
      sized.observe(place);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    addEventListener("beforeprint", () => {
      root.dataset.paper = "";
      charts.forEach(draw);
      charts.forEach(({ place }) => Plotly.Plots.resize(place));
    });
    addEventListener("afterprint", () => { delete root.dataset.paper; redraw(); });
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); } catch { document.execCommand("copy"); }
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  const order = (cell) => {
    if (cell.firstElementChild && cell.firstElementChild.type === "checkbox") return Number(!cell.firstElementChild.checked);
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const words = cell.textContent.trim();
    return words === "" || isNaN(words) ? words : Number(words);
  };
  const compare = (one, other) => {
    if (typeof one === typeof other) return typeof one === "number" ? one - other : one.localeCompare(other);
    return typeof one === "number" ? -1 : 1;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [order(row.cells[column]), row]);
      rows.sort(([one], [other]) => {
        if (one === "" || other === "") return (one === "") - (other === "");  // what is missing stays below
        return rising ? compare(one, other) : compare(other, one);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  }
})();
