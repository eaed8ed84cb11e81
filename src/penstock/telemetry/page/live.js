// The live page: asks for the whole once (/history), then applies what comes (/events), once a second.
"use strict";

(() => {
  const { node, last } = Charts;
  const STALE_AFTER_S = 4; // observations come every second
  const byId = (id) => document.getElementById(id);
  const page = { store: null, charts: [], cursor: new Charts.Cursor(), tip: new Parts.Tip(), table: new Parts.TableDialog() };
  const log = new Parts.DecisionLog(page, { list: byId("log-list"), filter: byId("log-filter"), all: byId("log-all"), empty: byId("log-empty") });
  const followHash = Parts.followHash(page);
  let source = null;
  let heardAt = null; // when the last observation came, by our clock, in ms
  let connected = false;
  let problem = "";
  let retryMs = 1000;
  let sparks = new Map();
  let state = ["none", "Loading"];

  function set(id, text) {
    const place = byId(id);
    if (place.textContent !== text) place.textContent = text;
  }

  function large(id, [value, unit]) {
    set(`${id}-value`, value);
    set(`${id}-unit`, unit);
  }

  // ---- data ----

  async function load() {
    try {
      const answer = await fetch("/history", { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      take(await answer.json());
      problem = "";
      retryMs = 1000;
    } catch (error) {
      problem = `Data could not be loaded (${error.message}); trying again.`;
      setTimeout(load, retryMs);
      retryMs = Math.min(15000, retryMs * 2);
    }
    tick();
  }

  function take(history) {
    const first = page.store === null || page.store.run !== history.run;
    page.store = {
      run: history.run, meta: history.meta, clock: Format.clock(history.meta), time: history.time_s, series: history.series,
      decisions: history.decisions, now: history.now,
    };
    heardAt = history.age_s === null ? null : performance.now() - history.age_s * 1000;
    if (first) build();
    log.begin();
    listen(`${history.run}-${history.seq}`);
    show();
    if (first) followHash();
  }

  function listen(place) {
    source?.close();
    source = new EventSource(`/events?after=${encodeURIComponent(place)}`);
    source.onopen = () => { connected = true; tick(); };
    source.onerror = () => {
      connected = false;
      // A refusal ends an EventSource for good; a lost line it mends by itself.
      if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(load, retryMs); retryMs = Math.min(15000, retryMs * 2); }
      tick();
    };
    source.onmessage = (event) => apply(JSON.parse(event.data));
    source.addEventListener("reset", () => { source.close(); load(); });
  }

  function apply(news) {
    const { store } = page;
    for (const { time_s: timeS, values } of news.moments) {
      store.time.push(timeS);
      const length = store.time.length;
      for (const [name, value] of Object.entries(values)) {
        const column = (store.series[name] ??= new Array(length - 1).fill(null));
        column.push(value);
      }
      for (const column of Object.values(store.series)) if (column.length < length) column.push(null);
      heardAt = performance.now();
    }
    store.decisions.push(...news.decisions);
    store.now = news.now;
    forget(store);
    connected = true;
    log.add();
    show();
  }

  function forget(store) {
    const from = (store.time.at(-1) ?? 0) - store.meta.hold_s;
    const old = store.time.findIndex((timeS) => timeS >= from);
    if (old > 0) {
      store.time.splice(0, old);
      for (const [name, column] of Object.entries(store.series)) {
        column.splice(0, old);
        if (column.every((value) => value === null)) delete store.series[name];
      }
    }
    while (store.decisions.length && store.decisions[0].time_s < from) store.decisions.shift();
  }

  // ---- what stays for the whole run ----

  function build() {
    const { meta } = page.store;
    page.charts.length = 0;
    page.cursor.watchers.clear();
    sparks = new Map();
    document.title = `${meta.name} · Penstock`;
    set("name", meta.name);
    set("model", meta.model);
    const { slo } = meta;
    const p = String(slo.percentile);
    for (const id of ["ttft", "itl"]) {
      set(`${id}-percentile`, p);
      byId(`${id}-chart`).replaceChildren();
      set(`${id}-target`, Format.seconds(slo[`${id}_s`]));
    }
    new Charts.Chart(byId("ttft-chart"), Figures.latencyChart("ttft", "TTFT", "ttft_s", slo.ttft_s, p, 104), page);
    new Charts.Chart(byId("itl-chart"), Figures.latencyChart("itl", "ITL", "itl_s", slo.itl_s, p, 104), page);
    byId("pools").replaceChildren(...meta.pools.map(poolPanel));
    byId("pools").dataset.count = meta.pools.length;
    for (const pool of meta.pools) {
      const place = byId(`pool-${pool.name}`).querySelector(".pool-charts");
      new Charts.Chart(place, Figures.demandChart(pool, 112, meta.pools.length > 1), page);
      new Charts.Chart(place, Figures.replicasChart(pool, 82, meta.pools.length > 1), page);
    }
    byId("cost-chart").replaceChildren();
    new Charts.Chart(byId("cost-chart"), Figures.costChart(96), page);
    byId("inside-charts").replaceChildren();
    byId("inside-charts").dataset.count = meta.pools.length;
    for (const definition of Figures.insideCharts(meta.pools, meta.pools.length > 1 ? 70 : 78)) new Charts.Chart(byId("inside-charts"), definition, page);
  }

  function poolPanel(pool) {
    const policy = pool.policy === "none" ? "fixed" : `${pool.policy}, ${pool.min} to ${pool.max}`;
    return node("article", { class: "pool", id: `pool-${pool.name}`, "aria-label": `Pool ${pool.name}` },
      node("h3", {}, node("span", {}, pool.name), node("span", { class: "muted" }, [pool.role !== pool.name ? pool.role : "", policy].filter(Boolean).join(" · "))),
      node("p", { class: "pool-now", id: `pool-${pool.name}-now` }),
      node("p", { class: "pool-why", id: `pool-${pool.name}-why` }),
      node("div", { class: "pool-charts" }));
  }

  // ---- what changes every second ----

  function show() {
    if (document.hidden) return;
    showTarget();
    page.store.meta.pools.forEach(showPool);
    showCost();
    showInside();
    for (const chart of page.charts) chart.draw();
    tick();
  }

  function showTarget() {
    const { store } = page;
    const { slo } = store.meta;
    const within = ["ttft", "itl"].map((id) => {
      const value = last(store, `${id}_s`);
      large(id, Format.latency(value));
      const ok = value === null ? null : value <= slo[`${id}_s`];
      byId(id).dataset.state = ok === null ? "none" : ok ? "within" : "over";
      set(`${id}-state`, ok === null ? "nothing measured" : ok ? "✓ within" : "▲ over");
      return ok;
    });
    const over = within.includes(false);
    const known = within.some((ok) => ok !== null);
    state = over ? ["over", "▲ Over target"] : known ? ["within", "✓ Within target"] : ["none", "No requests yet"];
    const { attainment } = store.now;
    if (!attainment) return;
    const { windows, windows_met: met, budget_left: left } = attainment;
    large("attainment", windows ? [((met / windows) * 100).toFixed(met === windows ? 0 : 1), "%"] : [Format.NONE, ""]);
    set("attainment-note", windows ? `${met} of ${windows} windows of ${Format.duration(slo.window_s)}` : `first window of ${Format.duration(slo.window_s)} is open`);
    const allowed = 1 - slo.percentile / 100;
    const missed = left === null ? null : (1 - left) * allowed; // of requests or of tokens, whichever is worse
    large("budget", left === null ? [Format.NONE, ""] : [(Math.max(0, left) * 100).toFixed(0), "%"]);
    set("budget-note", left === null ? "no request yet" : `${left < 0 ? "▲ " : ""}${Format.percent(missed, 1)} missed, ${Format.percent(allowed, allowed < 0.01 ? 1 : 0)} may`);
  }

  function showPool(pool) {
    const { store } = page;
    const of = (what) => last(store, `pool/${pool.name}/${what}`);
    const starting = (store.now.workers ?? []).filter((each) => each.pool === pool.name && each.state === "starting");
    const left = starting.map((each) => each.ready_at_s).filter(Format.isNumber).map((at) => Math.max(0, at - store.now.time_s)).sort((a, b) => a - b);
    const counts = [`${Format.count(of("ready"))} ready`];
    if (of("starting") > 0) counts.push(`${Format.count(of("starting"))} starting${left.length ? ` (${left.map((s) => `${Math.ceil(s)} s`).join(", ")} left)` : ""}`);
    if (of("draining") > 0) counts.push(`${Format.count(of("draining"))} draining`);
    set(`pool-${pool.name}-now`, store.time.length ? counts.join(" · ") : "");
    const decision = store.now.decision?.[pool.name];
    set(`pool-${pool.name}-why`, decision ? decision.reason : "No decision yet.");
    byId(`pool-${pool.name}-why`).title = decision ? `${store.clock.text(decision.time_s)} ${decision.reason}` : "";
  }

  function showCost() {
    const { store } = page;
    const perHour = last(store, "usd_per_hour");
    const spent = last(store, "spent_usd");
    const peak = last(store, "static_peak_usd");
    const priced = perHour !== null;
    large("rate", priced ? [Format.usd(perHour), "/h"] : [Format.NONE, ""]);
    set("rate-note", priced ? "now" : store.meta.pools.some((pool) => pool.gpu) ? "nothing charged yet" : "the deployment names no GPUs");
    large("spent", [Format.usd(spent), ""]);
    const saved = priced && peak !== null ? peak - spent : null;
    large("saved", [Format.usd(saved), ""]);
    set("saved-note", saved !== null && peak > 0 ? `${Format.percent(saved / peak)} of static peak` : "against static peak");
    Parts.gpuHours(byId("gpu-hours"), store.now.gpu_hours);
  }

  function showInside() {
    const { store } = page;
    for (const name of ["retries", "held", "rejected", "failed"]) set(name, Format.count(last(store, name)));
    const workers = store.now.workers ?? [];
    byId("workers-empty").hidden = workers.length > 0;
    for (const worker of workers) {
      if (!sparks.has(worker.id)) {
        const tile = new WorkerTile(worker);
        sparks.set(worker.id, tile);
        byId("workers").append(tile.element);
      }
      sparks.get(worker.id).show(worker);
    }
    const here = new Set(workers.map((worker) => worker.id));
    for (const [id, tile] of sparks) {
      if (here.has(id)) continue;
      page.cursor.watchers.delete(tile.watch);
      tile.element.remove();
      sparks.delete(id);
    }
  }

  // One worker: its state, what it runs, its KV cache, and its running requests as a line on the page's time axis.
  class WorkerTile {
    constructor(worker) {
      this.id = worker.id;
      const svg = (tag, attributes) => {
        const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
        return made;
      };
      this.path = svg("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
      this.line = svg("line", { class: "spark-cursor", y1: "0", y2: "24", "vector-effect": "non-scaling-stroke" });
      const drawing = svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
      drawing.append(this.path, this.line);
      this.state = node("span", { class: "worker-state" });
      this.figures = node("span", { class: "worker-figures" });
      this.kv = node("span", { class: "meter-fill" });
      this.kvText = node("span", { class: "worker-kv" });
      this.element = node("li", { class: "worker" },
        node("div", { class: "worker-head" }, node("b", {}, worker.id), this.state),
        drawing, node("div", { class: "meter", "aria-hidden": "true" }, this.kv),
        node("div", { class: "worker-foot" }, this.figures, this.kvText));
      this.watch = (timeS) => this.pointAt(timeS);
      page.cursor.watchers.add(this.watch);
    }
    show(worker) {
      this.worker = worker;
      this.element.dataset.state = worker.state;
      const glyph = { ready: "●", starting: "◌", draining: "◐" }[worker.state] ?? "○";
      const left = worker.state === "starting" && Format.isNumber(worker.ready_at_s) ? ` ${Math.max(0, Math.ceil(worker.ready_at_s - page.store.now.time_s))} s` : "";
      this.state.textContent = `${glyph} ${worker.state}${left}`;
      this.draw();
      this.pointAt(page.cursor.timeS);
    }
    draw() {
      const { time, series } = page.store;
      const values = series[`worker/${this.id}/running`] ?? [];
      const { from, to } = Charts.span(page.store);
      const most = Math.max(4, ...page.store.now.workers.map((each) => each.running), ...values.filter((value) => value !== null));
      let path = "";
      let pen = "M";
      values.forEach((value, index) => {
        if (value === null) { pen = "M"; return; }
        path += `${pen}${(((time[index] - from) / (to - from)) * 100).toFixed(2)} ${(23 - (value / most) * 22).toFixed(1)}`;
        pen = "L";
      });
      this.path.setAttribute("d", path);
    }
    pointAt(timeS) {
      const { store } = page;
      const { worker } = this;
      const index = timeS === null ? -1 : Charts.indexAt(store.time, timeS);
      const { from, to } = Charts.span(store);
      const x = index < 0 ? -5 : ((timeS - from) / (to - from)) * 100;
      this.line.setAttribute("x1", x);
      this.line.setAttribute("x2", x);
      const at = (what) => (index < 0 ? worker[what] : store.series[`worker/${this.id}/${what}`]?.[index]);
      const kv = at("kv_usage");
      this.figures.textContent = index < 0 ? `${Format.count(worker.running)} running · ${Format.count(worker.queue)} queued` : `${Format.count(at("running"))} running`;
      this.kvText.textContent = `KV ${Format.percent(kv)}`;
      this.kv.style.width = `${Math.min(100, (kv ?? 0) * 100)}%`;
    }
  }

  // ---- how fresh all that is ----

  function tick() {
    const { store } = page;
    const ageS = heardAt === null ? null : (performance.now() - heardAt) / 1000;
    const stale = ageS !== null && ageS > STALE_AFTER_S;
    let text = problem;
    if (!text && stale) text = `No data for ${Format.duration(ageS)}${connected ? ": the control loop is silent." : ": connection lost, trying again."} Figures below are old.`;
    if (!text && store && ageS === null) text = "Waiting for the first observation.";
    document.body.dataset.fresh = problem ? "error" : stale ? "stale" : store && ageS !== null ? "live" : "loading";
    // Old figures are no verdict.
    const [kind, said] = stale || problem ? ["none", store ? "? Not known: old data" : "? Not known"] : state;
    byId("state").dataset.state = kind;
    set("state", said);
    const notice = byId("notice");
    notice.hidden = !text;
    set("notice-text", text);
    // Said once, not every second: a screen reader gets the change of state only.
    set("announcer", problem ? problem : stale ? "Data is stale." : "");
    if (store?.time.length) {
      const timeS = store.time.at(-1);
      set("clock", store.clock.text(timeS));
      set("elapsed", `run ${Format.duration(timeS)}`);
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.store && show());
  document.addEventListener("visibilitychange", () => { if (!document.hidden && page.store) { log.redraw(); show(); } });
  setInterval(tick, 1000);
  load();
})();
