// What is drawn, for page and report alike: each function returns the definition of one chart (see charts.js).
"use strict";

const Figures = (() => {
  const { isNumber } = Format;
  const { last } = Charts;
  const TALL = 8; // times the target
  const measuredStyle = (place) => ["measured", "measured2", "measured3"][place % 3];

  const secondsUnit = (targetS) => ({ unit: targetS < 2 ? "ms" : "s", scale: targetS < 2 ? 1000 : 1, format: Format.seconds });

  function latencyChart(id, title, name, targetS, percentile, height) {
    return {
      id, title, ...secondsUnit(targetS), height,
      series: [{ name, label: `p${percentile}`, style: "measured" }], levels: [{ name: "level", label: "target", value: targetS }],
      empty: "no request has been answered yet",
    };
  }

  // A chart of its own data whose largest value dwarfs the target gets a logarithmic axis, and says so.
  function logIfTall(definition) {
    const { data, levels, scale } = definition;
    const drawn = Object.values(data.series).flat().filter((value) => isNumber(value) && value > 0);
    const target = Math.min(...levels.map((level) => level.value));
    const most = drawn.reduce((most, value) => Math.max(most, value), 0);
    if (most < TALL * target) return definition;
    const least = drawn.reduce((least, value) => Math.min(least, value), target);
    return { ...definition, unit: `${definition.unit}, log scale`, log: { low: least * scale * 0.7 } };
  }

  // The percentile of each window of a report, as steps; `windows` are {start_s, NAME}, those without requests left out.
  function windowChart(id, title, name, windows, slo, height) {
    const time = [];
    const values = [];
    const over = [];
    windows.forEach((window, index) => {
      const end = window.start_s + slo.window_s;
      time.push(window.start_s, end);
      values.push(window[name], window[name]);
      if (index + 1 < windows.length && windows[index + 1].start_s > end) { time.push(end); values.push(null); }
      if (window[name] > slo[name]) over.push([window.start_s + slo.window_s / 2, window[name]]);
    });
    const base = latencyChart(id, title, name, slo[name], String(slo.percentile), height);
    return logIfTall({ ...base, series: [{ name, label: `p${slo.percentile} of each window`, style: "window" }], data: { time, series: { [name]: values }, over } });
  }

  function demandChart(pool, height, compact = false) {
    const of = (what) => `pool/${pool.name}/${what}`;
    return {
      id: `${pool.name}-demand`, title: "Demand and capacity", caption: compact ? "Requests/s" : null, unit: compact ? "" : "requests/s", format: Format.rate, height, marks: null,
      series: [
        { name: of("forecast"), label: "forecast", style: "forecast", band: of("demand") },
        { name: of("demand"), label: "demand", style: "demand" },
        { name: of("capacity"), label: "capacity", style: "capacity" },
      ],
      ahead: (store, view) => aheadOfPool(store, view, pool.name),
      empty: "no request has arrived yet",
    };
  }

  // The forecast holds over the lead time; capacity rises when each replica that is starting gets ready.
  function aheadOfPool(store, view, name) {
    if (view.to <= view.now) return {};
    const ahead = {};
    const of = (what) => `pool/${name}/${what}`;
    const forecast = last(store, of("forecast"));
    const lead = last(store, of("lead_time_s"));
    if (forecast !== null && lead) ahead[of("forecast")] = [[view.now, forecast], [Math.min(view.now + lead, view.to), forecast]];
    const perReplica = last(store, of("capacity_per_replica"));
    const ready = last(store, of("ready"));
    if (perReplica !== null && ready !== null) {
      const steps = [[view.now, ready * perReplica]];
      const starts = (store.now.workers ?? []).filter((each) => each.pool === name && isNumber(each.ready_at_s) && each.state === "starting");
      starts.map((each) => Math.max(view.now, each.ready_at_s)).sort((a, b) => a - b).forEach((at, index) => {
        if (at <= view.to) steps.push([at, (ready + index + 1) * perReplica]);
      });
      const end = Math.min(view.to, Math.max(view.now + (lead ?? 0), steps.at(-1)[0] + 1));
      ahead[of("capacity")] = [...steps, [end, steps.at(-1)[1]]];
    }
    return ahead;
  }

  function replicasChart(pool, height, compact = false) {
    const of = (what) => `pool/${pool.name}/${what}`;
    return {
      id: `${pool.name}-replicas`, title: "Replicas", unit: compact ? "" : "▲▼ decisions", format: Format.count, height, marks: pool.name, whole: true, tickformat: "d",
      series: [
        { name: of("ready"), label: "ready", style: "ready", stack: true },
        { name: of("starting"), label: "starting", style: "starting", stack: true },
        { name: of("draining"), label: "draining", style: "draining", stack: true },
        { name: of("desired"), label: "desired", style: "desired" },
      ],
    };
  }

  // Queue, KV use, prefix hits and requests in flight: a line a pool.
  function insideCharts(pools, height) {
    const chart = (what, title, unit, format, more = {}) => ({
      id: `inside-${what}`, title, unit, format, height, ...more,
      series: pools.map((pool, place) => ({
        name: `pool/${pool.name}/${what}`, label: pools.length > 1 ? pool.name : "", style: measuredStyle(place),
      })),
    });
    const share = { scale: 100, ticksuffix: " %" };
    return [
      chart("queue", "Queue", pools.length > 1 ? "" : "requests", Format.count, { top: 4 }),
      chart("kv_usage", "KV cache used", "", Format.percent, { ...share, top: 100 }),
      chart("hit_ratio", "Prefix hits", "", Format.percent, { ...share, top: 100, empty: "no prompt has been seen yet" }),
      chart("in_flight", "In flight", pools.length > 1 ? "" : "requests", Format.count, { top: 4 }),
    ];
  }

  function costChart(height) {
    return {
      id: "cost", title: "Cost so far", unit: "$", format: Format.usd, height, tickprefix: "$", empty: "nothing charged",
      series: [
        { name: "static_peak_usd", label: "static peak", style: "static" },
        { name: "spent_usd", label: "spent", style: "spent" },
      ],
    };
  }

  // GPUs on the nodes of one VM size by the nodes' state, and those of them that pods hold: the gap is what idles.
  function nodesChart(vmSize, height) {
    const of = (what) => `nodes/${vmSize}/${what}`;
    const states = ["warm", "cold", "provisioning", "cordoned", "deallocated"];
    return {
      id: `nodes-${vmSize}`, title: `GPUs by state of their node`, caption: vmSize, unit: "GPUs", format: Format.count, height, whole: true, tickformat: "d",
      series: [...states.map((state) => ({ name: of(state), label: state, style: state, stack: true })), { name: of("in_use"), label: "held by pods", style: "held" }],
    };
  }

  return { secondsUnit, latencyChart, logIfTall, windowChart, demandChart, replicasChart, insideCharts, costChart, nodesChart };
})();
