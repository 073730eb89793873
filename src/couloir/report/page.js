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
    legend: { orientation: "h", yanchor: "bottom", y: 1.02, x: 0, font: { color: "--muted" } },
  };

  const draw = (chart) => {
    const style = getComputedStyle(root);
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: "--ink" };
    const layout = { ...shared, font, ...chart.layout };
    for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout)])) {
      if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...axis, ...layout[name] };
    }
    const tools = matchMedia("(hover: hover)").matches ? [["toImage", "resetScale2d"]] : [];
    const config = { responsive: true, displaylogo: false, modeBarButtons: tools };
    if (!tools.length) config.displayModeBar = false;
    Plotly.react(chart.place, coloured(chart.data, style), coloured(layout, style), config);
    chart.drawn = true;
  };
  const redraw = () => charts.filter((chart) => chart.drawn).forEach(draw);

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
