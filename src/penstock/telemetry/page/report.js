// A report: the charts of the live page over a whole run, from the data inside the file.
"use strict";

(() => {
  const { node } = Charts;
  const byId = (id) => document.getElementById(id);
  const run = JSON.parse(byId("data").textContent);
  const { history, summary, info, windows, recorded } = run;
  const { meta } = history;
  const clock = Format.clock(meta);
  const page = {
    store: { meta, clock, time: history.time_s, series: history.series, decisions: history.decisions, now: history.now },
    charts: [], cursor: new Charts.Cursor(), tip: new Parts.Tip(), table: new Parts.TableDialog(),
  };

  function add(place, definition) {
    new Charts.Chart(byId(place), definition, page);
  }

  function missing(file) {
    return node("p", { class: "muted" }, `This run recorded no ${file}.`);
  }

  function head() {
    byId("name").textContent = meta.name;
    byId("model").textContent = meta.model;
    const lengthS = meta.pools.length ? (history.time_s.at(-1) ?? 0) - (history.time_s[0] ?? 0) : 0;
    byId("when").textContent = [clock.date(), history.time_s.length ? clock.text(history.time_s[0]) : "", lengthS ? Format.duration(lengthS) : ""].filter(Boolean).join(" · ");
    byId("verdict-card").dataset.state = run.verdict.met === null ? "none" : run.verdict.met ? "within" : "over";
    const { requests, slo, gpu_hours: hours, cost_usd: cost } = summary;
    const band = (name, format, otherwise) => (summary.band?.[name] ? `${Parts.between(summary.band[name], format)} over ${summary.seeds} runs` : otherwise);
    const tiles = [
      ["Windows within target", slo ? Format.percent(slo.attainment, slo.attainment === 1 ? 0 : 1) : Format.NONE, band("attainment", (value) => Format.percent(value, 1), slo ? `${slo.windows_met} of ${slo.windows}, ${Format.duration(slo.window_s)} each` : "")],
      ["Requests within target", slo ? Format.percent(slo.requests_met, 1) : Format.NONE, band("requests_met", (value) => Format.percent(value, 1), `of ${Format.count(requests.offered)}`)],
      ["Requests lost", Format.count(requests.failed), `failed; ${Format.count(requests.rejected)} refused`],
      ["Cost", Format.usd(cost ?? null), band("cost_usd", Format.usd, hours ? `${Format.hours(hours.total)} of GPU` : "no GPUs named")],
      ["Scale events", Format.count(summary.scale_events ?? null), "changes of a count"],
    ];
    byId("tiles").append(...tiles.map(([label, value, note]) => node("div", {}, node("div", { class: "label" }, label), node("div", { class: "figure small" }, value), node("div", { class: "label" }, note))));
  }

  function target() {
    const { slo } = meta;
    for (const [id, title] of [["ttft", "TTFT"], ["itl", "ITL"]]) {
      const name = `${id}_s`;
      if (windows.length) {
        const chart = Figures.windowChart(id, title, name, windows, slo, 150);
        // A simulated run records no single gaps, only each request's mean.
        if (id === "itl" && info.started_unix_s === null) chart.unit += ", of requests' mean gaps";
        add("latency-charts", chart);
      }
      else add("latency-charts", Figures.latencyChart(id, title, name, slo[name], String(slo.percentile), 150));
    }
    const parts = [["TTFT", "ttft"], ["ITL", "itl"], ["End to end", "e2e"]];
    const rows = parts.map(([label, name]) => [label, ...["mean", "p50", "p95", "p99"].map((what) => {
      const value = summary[`${name}_s`]?.[what];
      const ends = summary.band?.[`${name}_${what}_s`];
      return Parts.whisker(Format.seconds(value), value, ends, ends ? [0, 1.2 * Math.max(value, ...ends)] : [], Format.seconds);
    })]);
    byId("summary-table").append(Parts.table(["Latency", "mean", "p50", "p95", "p99"], rows));
    const missed = windows.filter((window) => !window.met);
    if (missed.length) {
      byId("summary-table").append(node("h3", {}, "Windows missed"), Parts.table(
        ["From", "requests", "refused", "failed", "TTFT", "ITL"],
        missed.slice(0, 60).map((each) => [clock.text(each.start_s), Format.count(each.requests), Format.count(each.rejected), Format.count(each.failed), Format.seconds(each.ttft_s), Format.seconds(each.itl_s)])));
    }
  }

  function pools() {
    const place = byId("pools");
    if (!recorded["history.jsonl"]) { place.append(missing("history.jsonl")); return; }
    place.dataset.count = meta.pools.length;
    for (const pool of meta.pools) {
      const policy = pool.policy === "none" ? "fixed" : `${pool.policy}, ${pool.min} to ${pool.max}`;
      const charts = node("div", { class: "pool-charts" });
      place.append(node("article", { class: "pool", "aria-label": `Pool ${pool.name}` },
        node("h3", {}, node("span", {}, pool.name), node("span", { class: "muted" }, [pool.role !== pool.name ? pool.role : "", policy, pool.gpu ?? ""].filter(Boolean).join(" · "))), charts));
      new Charts.Chart(charts, Figures.demandChart(pool, 170, meta.pools.length > 1), page);
      new Charts.Chart(charts, Figures.replicasChart(pool, 120, meta.pools.length > 1), page);
    }
  }

  // Only where the world has nodes: a virtual cluster, or a real one.
  function nodes() {
    const sizes = Object.keys(history.series).map((name) => /^nodes\/(.+)\/in_use$/.exec(name)?.[1]).filter(Boolean);
    byId("nodes").hidden = !sizes.length;
    for (const size of sizes) add("node-charts", Figures.nodesChart(size, 130));
  }

  function inside() {
    add("cost-chart", Figures.costChart(130));
    Parts.gpuHours(byId("gpu-hours"), summary.gpu_hours ?? history.now.gpu_hours);
    byId("inside-charts").dataset.count = meta.pools.length;
    for (const definition of Figures.insideCharts(meta.pools, 110)) add("inside-charts", definition);
  }

  function requests() {
    const columns = ["Request", "meant at", "sent late", "TTFT", "mean ITL", "end to end", "prompt", "cached", "output"];
    const row = (each) => [each.id, clock.text(each.intended_s), Format.seconds(each.sent_s - each.intended_s), Format.seconds(each.ttft_s), Format.seconds(each.mean_itl_s),
      Format.seconds(each.e2e_s), Format.count(each.prompt_tokens), Format.count(each.prompt_cached_tokens), Format.count(each.output_tokens)];
    if (!recorded["requests.jsonl"]) byId("slowest").append(missing("requests.jsonl"));
    else if (!run.slowest.length) byId("slowest").append(node("p", { class: "muted" }, "No request was completed."));
    else byId("slowest").append(Parts.table(columns, run.slowest.map(row)));
    if (run.lost.length) {
      byId("lost").append(node("h3", {}, `Refused or failed (the first ${run.lost.length})`), Parts.table(["Request", "meant at", "ending", "status", "error"],
        run.lost.map((each) => [each.id, clock.text(each.intended_s), each.ending, String(each.status), each.error ?? ""]), { numbers: false }));
    }
  }

  function made() {
    const versions = Object.entries(info.versions).map(([name, version]) => `${name} ${version}`).join(", ");
    const rows = [["Command", info.command.join(" ")], ["Seed", info.seed === null ? "none" : String(info.seed)], ["Versions", versions],
      ["Took", Format.duration(summary.wall_s)], ["Drawn", run.one_in > 1 ? `one observation in ${run.one_in}` : "every observation"]];
    byId("made").append(node("dl", { class: "facts" }, ...rows.flatMap(([name, text]) => [node("dt", {}, name), node("dd", {}, text)])));
    byId("spec").textContent = info.spec.trim();
  }

  head();
  target();
  pools();
  nodes();
  inside();
  requests();
  made();
  new Parts.DecisionLog(page, { list: byId("log-list"), filter: byId("log-filter"), all: byId("log-all"), empty: byId("log-empty") }).begin();
  const follow = Parts.followHash(page);
  const draw = () => page.charts.forEach((chart) => chart.draw());
  draw();
  follow();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("visibilitychange", draw);
})();
