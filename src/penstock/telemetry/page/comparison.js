// A comparison: several deployments on one workload, ranked, their curves on one time axis.
"use strict";

(() => {
  const { node, swatch } = Charts;
  const byId = (id) => document.getElementById(id);
  const compared = JSON.parse(byId("data").textContent);
  const { runs, ranked, hindsight, optimum } = compared;
  const { info } = runs[0];
  const clock = Format.clock({});
  const decisions = runs.flatMap((run) => run.decisions.map((each) => ({ ...each, who: run.name, several: run.pools.length > 1 })));
  const page = {
    store: {
      meta: { pools: [], hold_s: null }, clock, time: compared.store.time_s, series: compared.store.series,
      decisions: decisions.sort((a, b) => a.time_s - b.time_s), now: {},
    },
    charts: [], hidden: new Set(), cursor: new Charts.Cursor(), tip: new Parts.Tip(), table: new Parts.TableDialog(),
  };
  const style = (index) => `run${index % Charts.RUN_STYLES}`;
  const share = (value) => Format.percent(value, 1);
  const times = (value) => (Format.isNumber(value) ? value.toFixed(2) : Format.NONE);

  function add(place, definition) {
    new Charts.Chart(byId(place), { quiet: true, ...definition }, page);
  }

  function lines(figure) {
    return runs.map((run, index) => ({ name: `${index}/${figure}`, label: run.name, style: style(index), group: index }));
  }

  function head() {
    const { time } = page.store;
    const models = new Set(runs.map((run) => run.model));
    byId("name").textContent = `${runs.length} deployment${runs.length > 1 ? "s" : ""}`;
    byId("model").textContent = [...models].join(", ");
    byId("when").textContent = ["virtual time", time.length ? Format.duration(time.at(-1) - time[0]) : ""].filter(Boolean).join(" · ");
    byId("verdict-card").dataset.state = ranked[0].enough ? "within" : "over";
  }

  function ranking() {
    // One scale for all bands of a column.
    const scale = (name, of) => {
      const ends = ranked.flatMap((each) => [of(each), ...(each.band?.[name] ?? [])]).filter(Format.isNumber);
      return [Math.min(...ends), Math.max(...ends)];
    };
    const whisker = (each, name, of, format, text) => Parts.whisker(text, of(each), each.band?.[name], scale(name, of), format);
    const cells = (each) => [share(each.attainment), share(each.requests_met), whisker(each, "cost_usd", (one) => one.cost_usd, Format.usd, Format.usd(each.cost_usd)), Format.isNumber(each.gpu_hours) ? Format.hours(each.gpu_hours) : Format.NONE,
      Format.count(each.scale_events), times(each.times_optimum)];
    const rows = ranked.map((each, index) => [String(index + 1), node("span", { class: "run-name" }, swatch(style(index)), each.name), whisker(each, "attainment", (one) => one.attainment, share, `${each.enough ? "✓" : "▲"} ${share(each.attainment)}`), ...cells(each).slice(1)]);
    if (hindsight) rows.push(["", node("span", { class: "muted" }, "hindsight: best simple policy"), ...cells(hindsight)]);
    if (optimum) rows.push(["", node("span", { class: "muted" }, "optimum: clairvoyant"), "", "", Format.usd(optimum.cost_usd), Format.hours(optimum.gpu_hours), "", "1.00"]);
    const made = Parts.table(["#", "Deployment", "windows", "requests", "cost", "GPU time", "scale events", "× optimum"], rows);
    made.classList.add("ranking");
    byId("ranking").append(made);
    const targets = new Set(runs.map((run) => JSON.stringify(run.slo)));
    byId("rule").textContent = [
      `Ranked: those that kept ${Format.percent(compared.attain)} of windows within target, the cheapest first; then the others, by their windows.`,
      ranked[0].seeds ? `Figures are those of each one's first run; the line below one spans ${ranked[0].seeds < 20 ? "all" : "the middle 90 % of"} ${ranked[0].seeds} runs.` : "",
      targets.size > 1 ? "Their targets or windows differ, so these shares are not of the same thing." : "",
      hindsight ? `Hindsight: ${compared.hindsight_rule}, both numbers chosen on this workload. Optimum: the future known, ${Format.duration(compared.lead_s)} paid for each start.` : `No yardsticks: ${compared.without_why}.`,
    ].filter(Boolean).join(" ");
  }

  // Which lines are shown: one switch a deployment, for all charts at once.
  function switches() {
    const place = byId("shown-runs");
    runs.forEach((run, index) => {
      const button = node("button", { type: "button", "aria-pressed": "true", onclick: () => {
        const shows = page.hidden.has(index);
        if (shows) page.hidden.delete(index); else page.hidden.add(index);
        button.setAttribute("aria-pressed", String(shows));
        draw();
      } }, swatch(style(index)), run.name);
      place.append(button);
    });
  }

  function charts() {
    const replicas = lines("ready");
    if (page.store.series.need) {
      replicas.unshift({ name: "need", label: "needed", style: "need", stack: true });
      replicas.push({ name: "optimum", label: "optimum", style: "optimum" });
    }
    add("replica-chart", { id: "compared-replicas", title: "Replicas that serve", unit: "point at it for decisions", format: Format.count, height: 210, marks: null, whole: true, steps: true, tickformat: "d", series: replicas });
    for (const [id, title] of [["ttft", "TTFT"], ["itl", "ITL"]]) add("latency-charts", latency(id, title, `${id}_s`));
    add("inside-charts", { id: "compared-queue", title: "Requests that wait", unit: "held or queued", format: Format.count, height: 150, top: 4, steps: true, series: lines("queue") });
    add("inside-charts", { id: "compared-kv", title: "KV cache used", unit: "the fullest pool", format: Format.percent, height: 150, scale: 100, ticksuffix: " %", top: 100, steps: true, series: lines("kv_usage") });
    add("cost-chart", { id: "compared-cost", title: "Cost so far", unit: "$", format: Format.usd, height: 170, tickprefix: "$", empty: "no deployment names a GPU", series: lines("spent_usd") });
  }

  function latency(id, title, name) {
    const targets = [...new Set(runs.map((run) => run.slo[name]))];
    const percentiles = [...new Set(runs.map((run) => `p${run.slo.percentile}`))].join(", ");
    const levels = targets.map((value) => {
      const whose = runs.filter((run) => run.slo[name] === value).map((run) => run.name).join(", ");
      return { name: `level-${value}`, label: targets.length > 1 ? `target of ${whose}` : "target", value };
    });
    const of = id === "itl" ? ", of requests' mean gaps" : ""; // a simulated run records no single gaps
    return Figures.logIfTall({
      id: `compared-${id}`, title: `${title} ${percentiles} of each window${of}`, ...Figures.secondsUnit(Math.max(...targets)), height: 170,
      series: lines(name), steps: true, levels, data: { time: compared.windows.time_s, series: compared.windows.series }, empty: "no request was recorded",
    });
  }

  function cost() {
    const known = runs.filter((run) => run.gpu_hours?.total > 0);
    if (!known.length) { byId("gpu-hours").append(node("p", { class: "muted" }, "No deployment names a GPU.")); return; }
    const states = Parts.hourStates(known.map((run) => run.gpu_hours));
    const most = Math.max(...known.map((run) => run.gpu_hours.total));
    const rows = runs.map((run) => [
      node("span", { class: "run-name" }, run.name), node("div", { class: "bar-cell" }, Parts.hourBar(run.gpu_hours, states, most)),
      ...states.map(([state]) => Format.hours(run.gpu_hours?.[state])), Format.hours(run.gpu_hours?.total)]);
    const labels = states.map(([state, look]) => node("span", { class: "run-name" }, swatch(look), state));
    byId("gpu-hours").append(Parts.table(["Deployment", "states", ...labels, "total"], rows));
  }

  function each() {
    byId("run-list").append(...runs.map((run, index) => {
      const pools = run.pools.map((pool) => `${pool.name}: ${pool.policy === "none" ? "fixed" : `${pool.policy}, ${pool.min} to ${pool.max}`}${pool.gpu ? `, ${pool.gpu}` : ""}`);
      const missed = run.missed.slice(0, 60).map((window) => [clock.text(window.start_s), Format.count(window.requests), Format.seconds(window.ttft_s), Format.seconds(window.itl_s)]);
      return node("article", { class: "run", "aria-label": run.name },
        node("h3", {}, swatch(style(index)), node("span", {}, run.name), node("span", { class: "muted" }, pools.join(" · "))),
        node("p", {}, run.verdict.sentence),
        node("p", {}, node("a", { href: `${encodeURIComponent(run.name)}/report.html` }, "Its own report"), node("span", { class: "muted" }, " (in the folder beside this file)")),
        ...(missed.length ? [node("details", {}, node("summary", {}, `Windows missed (${run.missed.length})`), Parts.table(["From", "requests", "TTFT", "ITL"], missed))] : []));
    }));
  }

  function made() {
    const versions = Object.entries(info.versions).map(([name, version]) => `${name} ${version}`).join(", ");
    const rows = [["Command", info.command.join(" ")], ["Seed", String(info.seed)], ["Versions", versions]];
    byId("made").append(node("dl", { class: "facts" }, ...rows.flatMap(([name, text]) => [node("dt", {}, name), node("dd", {}, text)])));
    byId("specs").append(...runs.map((run) => node("details", {}, node("summary", {}, `Deployment ${run.name}`), node("pre", { class: "spec", tabindex: "0" }, run.info.spec.trim()))));
  }

  head();
  ranking();
  switches();
  charts();
  cost();
  each();
  made();
  Parts.followHash(page);
  const draw = () => page.charts.forEach((chart) => chart.draw());
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("visibilitychange", draw);
})();
