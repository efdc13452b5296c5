// Draws the charts: stacked bars of what ended when, from the JSON that the page carries. They are
// drawn anew when the figures, the theme or the width change.
"use strict";

(() => {
  const OUTCOMES = ["succeeded", "failed", "cancelled"];
  const HEIGHT = 240;
  const plots = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whole = (number) => number.toLocaleString("en");

  // Each series is drawn from zero, the tallest first, so that the others stand in front of it.
  function stacked(data) {
    const sums = data.starts.map(() => 0);
    const layers = OUTCOMES.map((outcome) => {
      (data.ended[outcome] || []).forEach((count, at) => { sums[at] += count; });
      return sums.slice();
    });
    return [data.starts, ...layers.reverse()];
  }

  function series(data) {
    const bars = uPlot.paths.bars({ size: [0.8, 40], align: 1 });
    return OUTCOMES.slice().reverse().map((outcome) => ({
      label: outcome,
      fill: colour(`--jobs-${outcome}`),
      stroke: colour(`--jobs-${outcome}`),
      width: 0,
      paths: bars,
      points: { show: false },
    }));
  }

  // What the bar under the cursor stands for, in words below the chart.
  function tell(plot, data) {
    const at = plot.cursor.idx;
    const readout = document.getElementById(plot.root.parentElement.dataset.readout);
    if (readout === null) return;
    if (at === null || at === undefined) {
      readout.textContent = "";
      return;
    }
    const clock = new Date(data.starts[at] * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    readout.textContent = `${clock}: ${OUTCOMES.map((each) => `${whole(data.ended[each][at])} ${each}`).join(", ")}`;
  }

  function options(data, width) {
    const line = { stroke: colour("--jobs-axis"), width: 1 };
    const axis = { stroke: line.stroke, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const grid = { stroke: colour("--jobs-grid"), width: 1 };
    const end = data.starts[data.starts.length - 1] + data.step;
    return {
      width,
      height: HEIGHT,
      tzDate: (seconds) => new Date(seconds * 1000),
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      legend: { show: false },
      hooks: { setCursor: [(plot) => tell(plot, data)] },
      scales: {
        x: { time: true, range: () => [data.starts[0], end] },
        y: { range: (_plot, _low, high) => [0, Math.max(high || 0, 4) * 1.08] },
      },
      axes: [
        { ...axis, size: 28, grid: { show: false }, values: [
          [3600, "{HH}:{mm}", null, null, null, null, null, null, 1],
          [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
        ] },
        { ...axis, grid, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6],
          values: (_plot, marks) => marks.map(whole) },
      ],
      series: [{}, ...series(data)],
    };
  }

  function draw(holder) {
    const source = document.getElementById(holder.dataset.chart);
    const width = Math.floor(holder.clientWidth);
    if (source === null || width === 0) return;
    const state = [source.textContent, width, document.documentElement.dataset.bsTheme].join("|");
    const old = plots.get(holder);
    if (old && old.state === state) return;
    if (old) old.plot.destroy();
    const data = JSON.parse(source.textContent);
    const plot = new uPlot(options(data, width), stacked(data), holder);
    plots.set(holder, { plot, state });
    holder.dataset.drawn = String((Number(holder.dataset.drawn) || 0) + 1);
  }

  function drawAll() {
    for (const holder of document.querySelectorAll("[data-chart]")) draw(holder);
  }

  document.addEventListener("jobs:theme", drawAll);
  document.addEventListener("jobs:refreshed", drawAll);
  const width = new ResizeObserver(() => requestAnimationFrame(drawAll));
  for (const holder of document.querySelectorAll("[data-chart]")) width.observe(holder);
  drawAll();
})();
