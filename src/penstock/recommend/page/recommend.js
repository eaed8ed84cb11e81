// The page of `penstock recommend`: two charts, and the tables behind them, from the data inside the file.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const MODES = { aggregated: { symbol: "circle", dash: "solid", pattern: "" }, disaggregated: { symbol: "diamond", dash: "dot", pattern: "/" } };
  const MOST_BARS = 16;
  const ROW_PX = 24;

  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const title = (option) => `${option.tensor_parallel} x ${option.gpu}, ${option.mode}`;
  const counts = (replicas) => Object.entries(replicas).map(([role, count]) => `${count} ${role}`).join(" + ");
  const isBest = (option) => data.recommended !== null && title(option) === title(data.recommended);
  const byPrice = (a, b) => a.usd_per_hour - b.usd_per_hour;

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function table(place, head, rows, empty, kind = "numbers") {
    if (!rows.length) {
      byId(place).append(element("p", empty, { class: "muted" }));
      return;
    }
    const made = element("table", undefined, { class: kind });
    const line = (cells, tag) => {
      const row = element("tr");
      cells.forEach((cell, place) => row.append(element(tag, cell, tag === "th" ? { scope: "col" } : place ? {} : { scope: "row" })));
      return row;
    };
    const [top, body] = [element("thead"), element("tbody")];
    top.append(line(head, "th"));
    body.append(...rows.map((cells) => line(cells, "td")));
    made.append(top, body);
    byId(place).append(made);
  }

  function layout(more) {
    const axis = { gridcolor: ink("--grid"), zerolinecolor: ink("--edge"), linecolor: ink("--edge"), automargin: true };
    const { xaxis, yaxis, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 50, r: 20, t: 8, b: 40 },
      font: { color: ink("--ink"), family: ink("--font"), size: 12 }, legend: { orientation: "h", y: -0.2 },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }

  function price() {
    const shown = data.options.filter((option) => option.usd_per_hour !== null && option.feasible).slice(0, MOST_BARS).sort(byPrice).reverse();
    if (!shown.length) {
      byId("price").replaceChildren(element("p", "No option holds the targets.", { class: "muted" }));
      return;
    }
    const bars = {
      type: "bar", orientation: "h",
      x: shown.map((option) => option.usd_per_hour), y: shown.map(title),
      text: shown.map((option) => `${Format.usd(option.usd_per_hour)} · ${counts(option.replicas)}`), textposition: "outside", cliponaxis: false,
      marker: {
        color: shown.map((option) => (isBest(option) ? ink("--ready") : ink("--muted"))),
        opacity: shown.map((option) => (option.simulated ? 1 : 0.35)),
        pattern: { shape: shown.map((option) => MODES[option.mode].pattern) },
      },
    };
    const most = Math.max(...bars.x);
    Plotly.newPlot("price", [bars], layout({
      height: 70 + ROW_PX * shown.length, bargap: 0.3,
      xaxis: { title: { text: "dollars per hour" }, range: [0, most * 1.4] }, yaxis: { ticksuffix: "  " },
    }), { staticPlot: true, responsive: true });
  }

  function trials() {
    const tried = data.options.filter((option) => option.trials.length);
    if (!tried.length) {
      byId("trials").replaceChildren(element("p", "Nothing was simulated.", { class: "muted" }));
      return;
    }
    const series = tried.map((option) => {
      const color = isBest(option) ? ink("--ready") : ink("--muted");
      const ordered = [...option.trials].sort(byPrice);
      return {
        type: "scatter", mode: "lines+markers", name: title(option),
        x: ordered.map((trial) => trial.usd_per_hour), y: ordered.map((trial) => trial.attainment * 100),
        line: { color, width: isBest(option) ? 2 : 1, dash: MODES[option.mode].dash },
        marker: {
          size: isBest(option) ? 10 : 8, color, line: { color, width: 1.5 },
          symbol: ordered.map((trial) => MODES[option.mode].symbol + (trial.attainment >= 0.99 ? "" : "-open")),
        },
        showlegend: false,
      };
    });
    Plotly.newPlot("trials", series, layout({
      height: 380, margin: { l: 50, r: 20, t: 14, b: 40 },
      xaxis: { title: { text: "dollars per hour" }, rangemode: "tozero" },
      yaxis: { title: { text: "windows within target, %" }, range: [Math.min(...tried.flatMap((o) => o.trials.map((t) => t.attainment * 100))) - 4, 104] },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 99, y1: 99, line: { color: ink("--target"), width: 1.4, dash: "6px,4px" } }],
      annotations: data.recommended === null ? [] : [{
        x: data.recommended.usd_per_hour, y: data.recommended.attainment * 100, text: `${title(data.recommended)}: ${counts(data.recommended.replicas)}`,
        showarrow: true, arrowcolor: ink("--ready"), ax: 110, ay: 70, font: { color: ink("--ink") },
      }],
    }), { staticPlot: true, responsive: true });
  }

  function tables() {
    const able = data.options.filter((option) => option.feasible);
    table("options",
      ["Option", "VMs", "replicas", "TTFT p95", "ITL p95", "held", "$ an hour", "$ per M tokens", "known by"],
      able.map((option) => [
        title(option), `${option.vms} x ${option.vm_size}`, counts(option.replicas), Format.seconds(option.ttft_p95_s), Format.seconds(option.itl_p95_s),
        Format.percent(option.attainment, 1), Format.usd(option.usd_per_hour), Format.usd(option.usd_per_million_tokens), option.simulated ? "simulation" : "rehearsal",
      ]), "No option holds the targets.");
    table("not", ["Option", "why not"], data.options.filter((option) => !option.feasible).map((option) => [title(option), option.why_not]), "Every option can.", "words");
    table("simulations", ["Option", "replicas", "$ an hour", "windows held", "TTFT p95", "ITL p95"],
      data.options.flatMap((option) => option.trials.map((trial) => [
        title(option), counts(trial.replicas), Format.usd(trial.usd_per_hour), Format.percent(trial.attainment, 1), Format.seconds(trial.ttft_p95_s), Format.seconds(trial.itl_p95_s),
      ])), "Nothing was simulated.");
  }

  function head() {
    const { slo, workload, recommended: best } = data;
    byId("model").textContent = data.model;
    byId("asked").textContent = `${data.engine}, ${data.precision} · TTFT ${Format.seconds(slo.ttft_s)}, ITL ${Format.seconds(slo.itl_s)}, p${slo.percentile} in windows of ${Format.duration(slo.window_s)}`;
    byId("verdict-card").dataset.state = best === null ? "over" : "within";
    const tiles = [
      ["Workload", Format.count(workload.requests), `requests over ${Format.duration(workload.duration_s)}`],
      ["Rate", `${Format.rate(workload.mean_per_s)} /s`, `mean; busiest minute ${Format.rate(workload.peak_minute_per_s)} /s`],
      ["Prompt", Format.count(workload.isl), `tokens in the mean, p95 ${Format.count(workload.isl_p95)}`],
      ["Output", Format.count(workload.osl), `tokens in the mean, p95 ${Format.count(workload.osl_p95)}`],
      ["Prefix hits", Format.percent(workload.hit_ratio), "of prompt tokens at most"],
    ];
    byId("tiles").append(...tiles.map(([label, value, note]) => {
      const tile = element("div");
      tile.append(element("div", label, { class: "label" }), element("div", value, { class: "figure small" }), element("div", note, { class: "label" }));
      return tile;
    }));
  }

  function draw() {
    price();
    trials();
  }

  head();
  tables();
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
