// Charts of the live page and of reports: the same series, colours and keys in both.
//
// Plotly draws; pointing, the shared instant, readouts and tables are ours, in HTML, so that a screen reader and a
// keyboard have them too. A chart is a slider over time: arrows move the instant, in all charts at once; Shift + arrow
// goes to the next decision. Margins are fixed, so a pixel maps to an instant without asking plotly.
//
// A store is what charts draw from: {meta, clock, time: [s], series: {name: [value|null]}, decisions: [...], now}.
"use strict";

const Charts = (() => {
  const MARGIN = { l: 46, r: 10, t: 6, b: 20 };
  const MARK_PX = 7;

  // ---- one colour for one meaning (Okabe-Ito), with a line style or pattern of its own ----
  const STYLES = {
    measured: { color: "--ink", width: 1.6 },
    measured2: { color: "--muted", width: 1.6, dash: "5px,2px" },
    measured3: { color: "--ink", width: 1.4, dash: "1px,3px" },
    window: { color: "--ink", width: 1.8 },
    target: { color: "--target", width: 1.4, dash: "6px,4px" },
    demand: { color: "--demand", width: 1.8 },
    forecast: { color: "--forecast", width: 1.2, dash: "2px,3px", fill: 0.28 },
    capacity: { color: "--ready", width: 1.8, step: true },
    ready: { color: "--ready", width: 0.8, step: true, fill: 0.75 },
    starting: { color: "--starting", width: 0.8, step: true, fill: 0.85, pattern: "/" },
    draining: { color: "--draining", width: 0.8, step: true, fill: 0.85, pattern: "x" },
    desired: { color: "--ink", width: 1.4, dash: "3px,3px", step: true },
    spent: { color: "--ink", width: 1.8 },
    static: { color: "--muted", width: 1.4, dash: "5px,4px" },
    // Nodes: on their way, joined without image and weights, with them, closed to pods, off.
    provisioning: { color: "--starting", width: 0.8, step: true, fill: 0.85, pattern: "/" },
    cold: { color: "--cold", width: 0.8, step: true, fill: 0.8, pattern: "." },
    warm: { color: "--warm", width: 0.8, step: true, fill: 0.85 },
    cordoned: { color: "--draining", width: 0.8, step: true, fill: 0.85, pattern: "x" },
    deallocated: { color: "--muted", width: 0.8, step: true, fill: 0.12 },
    held: { color: "--ink", width: 1.6, step: true },
    // A comparison: a line a deployment, beside what was needed.
    need: { color: "--muted", width: 0.6, step: true, fill: 0.2 },
    optimum: { color: "--muted", width: 1.6, dash: "2px,3px", step: true },
  };
  const RUN_COLORS = ["--ink", "--run-blue", "--forecast"];
  const RUN_DASHES = ["solid", "7px,3px", "2px,2px"];
  const RUN_STYLES = RUN_COLORS.length * RUN_DASHES.length;
  for (let place = 0; place < RUN_STYLES; place += 1) {
    STYLES[`run${place}`] = { color: RUN_COLORS[place % RUN_COLORS.length], dash: RUN_DASHES[Math.floor(place / RUN_COLORS.length)], width: 1.8 };
  }

  // ---- the instant that all charts show ----
  class Cursor {
    constructor() {
      this.timeS = null;
      this.pinned = false;
      this.watchers = new Set();
    }
    set(timeS, { pinned = false, from = null } = {}) {
      this.timeS = timeS;
      this.pinned = pinned;
      for (const watcher of this.watchers) watcher(timeS, from);
    }
  }

  // Index of the last moment at or before an instant; -1 before the first.
  function indexAt(time, timeS) {
    let low = 0;
    let high = time.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (time[middle] <= timeS) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  const readInk = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function withAlpha(color, alpha) {
    const value = parseInt(color.slice(1), 16);
    return `rgba(${value >> 16},${(value >> 8) & 255},${value & 255},${alpha})`;
  }

  function node(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  // A chart may have a time base of its own ({time, series}: windows of a report); else it shows the store's.
  const dataOf = (definition, store) => definition.data ?? store;

  // What part of the run is on the axis. Live charts keep room for what is still ahead: starts and the forecast.
  function span(store) {
    const last = store.time.at(-1) ?? 0;
    const hold = store.meta.hold_s;
    if (!hold) return { from: store.time[0] ?? 0, to: Math.max(last, (store.time[0] ?? 0) + 1), now: last };
    const from = Math.max(0, last - hold);
    const length = Math.max(120, last - from);
    return { from, to: from + length + Math.min(aheadS(store), length * 0.12), now: last };
  }

  function aheadS(store) {
    const leads = store.meta.pools.map((pool) => last(store, `pool/${pool.name}/lead_time_s`) ?? 0);
    return Math.max(0, ...leads);
  }

  const last = (store, name) => store.series[name]?.at(-1) ?? null;

  // ---- one chart ----
  //
  // definition: {id, title, unit, scale, format, height, series: [{name, label, style, stack?, band?, group?}], levels?,
  //              ahead?, marks?, top?, whole?, steps?, log?, quiet?}
  //   scale: factor from stored to drawn values; levels: [{name, label, value}] drawn as targets; band: the lower series;
  //   group: hidden while the page's `hidden` has it; steps: lines hold until the next instant; quiet: at rest the legend
  //   shows no values;
  //   ahead(store, span) -> {name: [[timeS, value], ...]}: what is known of the future; marks: pool whose decisions show.
  class Chart {
    constructor(place, definition, page) {
      this.definition = definition;
      this.page = page;
      const { title, unit } = definition;
      this.values = new Map();
      const legend = node("span", { class: "legend" });
      for (const entry of this.entries()) {
        const value = node("span", { class: "legend-value" }, Format.NONE);
        this.values.set(entry.name, value);
        legend.append(entry.label
          ? node("span", { class: "legend-entry" }, swatch(entry.style), node("span", {}, entry.label), value)
          : node("span", { class: "legend-entry" }, value));
      }
      const table = node("button", {
        type: "button", class: "quiet", "aria-label": `Table: ${title}`, title: "Show as a table", onclick: () => page.table.show(this),
      }, "⊞");
      this.plot = node("div", { class: "plot" });
      this.line = node("div", { class: "cursor", hidden: true });
      this.note = node("p", { class: "plot-note" });
      this.frame = node("div", {
        class: "frame", tabindex: "0", role: "slider", "aria-label": `${title}${unit ? `, ${unit}` : ""}, over time`,
        "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0", "aria-valuetext": "no data yet",
      }, this.plot, this.line, this.note);
      this.frame.style.height = `${definition.height}px`;
      this.element = node("figure", { class: "chart", id: `chart-${definition.id}` },
        node("figcaption", {}, node("span", { class: "chart-title" }, definition.caption ?? title), node("span", { class: "unit" }, unit ?? ""), legend, table),
        this.frame);
      place.append(this.element);
      this.listen();
      page.cursor.watchers.add((timeS, from) => this.pointAt(timeS, from));
      page.charts.push(this);
      new ResizeObserver(() => this.draw()).observe(this.frame);
    }

    entries() {
      const { series, levels = [] } = this.definition;
      return [...series, ...levels.map(({ name, label }) => ({ name, label, style: "target" }))];
    }

    listen() {
      const { cursor } = this.page;
      this.frame.addEventListener("pointermove", (event) => {
        if (event.pointerType === "mouse") cursor.set(this.timeAt(event.clientX), { from: this });
      });
      this.frame.addEventListener("pointerdown", (event) => cursor.set(this.timeAt(event.clientX), { from: this, pinned: true }));
      this.frame.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse" && !cursor.pinned) cursor.set(null);
      });
      this.frame.addEventListener("blur", () => cursor.set(null));
      this.frame.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const { cursor, store } = this.page;
      const { time } = dataOf(this.definition, store);
      if (!time.length) return;
      const at = cursor.timeS === null ? time.length - 1 : Math.max(0, indexAt(time, cursor.timeS));
      const step = Math.max(1, Math.round(time.length / 90));
      let to = null;
      if (event.key === "Escape") { cursor.set(null); return; }
      if (event.key === "Home") to = time[0];
      else if (event.key === "End") to = time.at(-1);
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        const forward = event.key === "ArrowRight";
        if (event.shiftKey) to = this.nextMark(cursor.timeS ?? time.at(-1) + 1, forward);
        else to = time[Math.min(time.length - 1, Math.max(0, cursor.timeS === null ? at : at + (forward ? step : -step)))];
      } else return;
      event.preventDefault();
      if (to !== null) cursor.set(to, { from: this, pinned: true });
    }

    nextMark(timeS, forward) {
      const times = this.marks().map((mark) => mark.time_s);
      return (forward ? times.find((each) => each > timeS) : times.findLast((each) => each < timeS)) ?? null;
    }

    // Decisions that changed a count, in this chart's pool or in all.
    marks() {
      const { store } = this.page;
      const pool = this.definition.marks;
      return store.decisions.filter((each) => each.desired !== each.current && (!pool || each.component === pool));
    }

    inner() {
      return Math.max(1, this.frame.clientWidth - MARGIN.l - MARGIN.r);
    }
    timeAt(clientX) {
      const { from, to, now } = span(this.page.store);
      const x = clientX - this.frame.getBoundingClientRect().left - MARGIN.l;
      const timeS = from + ((to - from) * x) / this.inner();
      const near = this.marks().find((mark) => Math.abs(mark.time_s - timeS) < (MARK_PX * (to - from)) / this.inner());
      return Math.min(now, Math.max(from, near ? near.time_s : timeS));
    }
    xOf(timeS) {
      const { from, to } = span(this.page.store);
      return MARGIN.l + ((timeS - from) / (to - from)) * this.inner();
    }

    // Show one instant: line, readouts, and (in the chart that is pointed at) the tip with the decision's sentence.
    pointAt(timeS, from) {
      const { store } = this.page;
      const { time } = dataOf(this.definition, store);
      const shown = timeS !== null && time.length > 0;
      this.line.hidden = !shown;
      const index = shown ? Math.max(0, indexAt(time, timeS)) : time.length - 1;
      const texts = this.readAt(index);
      for (const [name, text] of texts) {
        const place = this.values.get(name);
        const said = shown || !this.definition.quiet ? text : "";
        if (place && place.textContent !== said) place.textContent = said;
      }
      if (shown) this.line.style.transform = `translateX(${this.xOf(timeS).toFixed(1)}px)`;
      if (from !== this) {
        if (!shown) this.page.tip.hide();
        return;
      }
      const instant = index >= 0 ? time[index] : 0;
      const near = this.marks().filter((mark) => Math.abs(mark.time_s - timeS) <= this.markReachS());
      const rows = this.entries().map((entry) => [entry.style, entry.label, texts.get(entry.name) ?? Format.NONE]);
      this.page.tip.show(this.frame, this.xOf(timeS), store.clock.text(instant), rows, near);
      this.frame.setAttribute("aria-valuenow", String(Math.round(instant)));
      const said = rows.map(([, label, text]) => `${label} ${text}`).join(", ");
      this.frame.setAttribute("aria-valuetext", `${store.clock.text(instant)}: ${said}. ${near.map((mark) => mark.reason).join(" ")}`.trim());
    }

    markReachS() {
      const { from, to } = span(this.page.store);
      return Math.max(0.5, (MARK_PX * (to - from)) / this.inner() / 2);
    }

    readAt(index) {
      const { format, levels = [] } = this.definition;
      const { series } = dataOf(this.definition, this.page.store);
      const texts = new Map();
      for (const { name } of this.definition.series) texts.set(name, format(index < 0 ? null : series[name]?.[index]));
      for (const { name, value } of levels) texts.set(name, format(value));
      return texts;
    }

    // The whole series as rows, thinned to `most` rows: what the table behind the chart shows.
    rows(most = 60) {
      const { store } = this.page;
      const { time } = dataOf(this.definition, store);
      const every = Math.max(1, Math.ceil(time.length / most));
      const rows = [];
      for (let index = time.length - 1; index >= 0; index -= every) {
        const texts = this.readAt(index);
        rows.push([store.clock.text(time[index]), ...this.entries().map((entry) => texts.get(entry.name))]);
      }
      return { head: ["Time", ...this.entries().map((entry) => entry.label)], rows };
    }

    draw() {
      const { store } = this.page;
      if (!store || document.hidden || !this.frame.clientWidth) return;
      const { series, whole } = this.definition;
      const data = dataOf(this.definition, store);
      const has = series.some(({ name }) => data.series[name]?.some((value) => value !== null));
      const note = !data.time.length && !store.time.length ? "waiting for the first observation" : has ? "" : (this.definition.empty ?? "nothing measured yet");
      if (this.note.textContent !== note) this.note.textContent = note;
      this.frame.setAttribute("aria-valuemin", String(Math.round(data.time[0] ?? 0)));
      this.frame.setAttribute("aria-valuemax", String(Math.round(data.time.at(-1) ?? 0)));
      if (this.page.cursor.timeS === null) {
        this.pointAt(null, null);
        const texts = this.readAt(data.time.length - 1);
        const said = this.entries().map((entry) => `${entry.label} ${texts.get(entry.name)}`.trim()).join(", ");
        this.frame.setAttribute("aria-valuenow", String(Math.round(data.time.at(-1) ?? 0)));
        this.frame.setAttribute("aria-valuetext", data.time.length ? `now: ${said}` : "no data yet");
      } else {
        this.line.style.transform = `translateX(${this.xOf(this.page.cursor.timeS).toFixed(1)}px)`;
      }
      if (!window.Plotly) {
        this.note.textContent = "charts could not be loaded; the table (⊞) still works";
        return;
      }
      const { traces, top } = this.traces();
      Plotly.react(this.plot, traces, this.layout(top, whole), { staticPlot: true, displayModeBar: false, responsive: false });
    }

    traces() {
      const { store } = this.page;
      const { definition } = this;
      const scale = definition.scale ?? 1;
      const view = span(store);
      const ahead = definition.ahead ? definition.ahead(store, view) : {};
      const data = dataOf(definition, store);
      const x = data.time.map(store.clock.axisMs);
      const traces = [];
      let top = 0;
      const sums = new Array(data.time.length).fill(0);
      const scaled = (name) => (data.series[name] ?? []).map((value) => (value === null ? null : value * scale));
      for (const { name, style, stack, band, group } of definition.series) {
        if (this.page.hidden?.has(group)) continue;
        const look = STYLES[style];
        const color = readInk(look.color);
        const y = scaled(name);
        y.forEach((value, index) => {
          if (value === null) return;
          if (stack) sums[index] += value;
          top = Math.max(top, stack ? sums[index] : value);
        });
        const future = (ahead[name] ?? []).map(([timeS, value]) => [store.clock.axisMs(timeS), value * scale]);
        future.forEach(([, value]) => { top = Math.max(top, value); });
        const trace = {
          type: "scatter", mode: "lines", x, y, connectgaps: false, hoverinfo: "skip", showlegend: false,
          line: { color, width: look.width, dash: look.dash, shape: look.step || definition.steps ? "hv" : "linear" },
        };
        if (definition.steps && !stack) [trace.x, trace.y] = heldToTheEnd(x, y);
        if (stack) {
          trace.stackgroup = "one";
          trace.fillcolor = withAlpha(color, look.fill);
          trace.y = y.map((value) => value ?? 0);
          if (look.pattern) trace.fillpattern = { shape: look.pattern, fgcolor: readInk("--panel"), bgcolor: color, size: 5, solidity: 0.22, fillmode: "overlay" };
        }
        if (band) {
          const floor = scaled(band);
          const held = x.map((_, index) => index).filter((index) => y[index] !== null && floor[index] !== null && y[index] !== undefined);
          const upper = held.map((index) => Math.max(y[index], floor[index]));
          traces.push({
            type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { width: 0 },
            x: held.map((index) => x[index]).concat(held.map((index) => x[index]).reverse()),
            y: upper.concat(held.map((index) => floor[index]).reverse()), fill: "toself", fillcolor: withAlpha(color, look.fill),
          });
        }
        traces.push(trace);
        if (future.length) {
          traces.push({
            type: "scatter", mode: "lines", x: future.map(([at]) => at), y: future.map(([, value]) => value), hoverinfo: "skip", showlegend: false,
            line: { color, width: look.width, dash: "2px,3px", shape: look.step ? "hv" : "linear" }, opacity: 0.8,
          });
        }
      }
      if (definition.data?.over) traces.push(this.overTrace(scale));
      for (const level of definition.levels ?? []) {
        const value = level.value * scale;
        top = Math.max(top, value * 1.25);
        const ends = [view.from, view.to].map(store.clock.axisMs);
        const look = STYLES.target;
        traces.push({ type: "scatter", mode: "lines", x: ends, y: [value, value], hoverinfo: "skip", showlegend: false, line: { color: readInk(look.color), width: look.width, dash: look.dash } });
      }
      if (definition.marks) traces.push(this.markTrace());
      return { traces, top: Math.max(top, definition.top ?? 0) };
    }

    // Windows above the target, each with a mark in its middle: the colour says it, and so does the shape.
    overTrace(scale) {
      const { over } = this.definition.data;
      return {
        type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, cliponaxis: false,
        x: over.map(([timeS]) => this.page.store.clock.axisMs(timeS)), y: over.map(([, value]) => value * scale),
        marker: { symbol: "triangle-up", size: 9, color: readInk("--target"), line: { color: readInk("--panel"), width: 1 } },
      };
    }

    markTrace() {
      const { store } = this.page;
      const { from } = span(store);
      const marks = this.marks().filter((mark) => mark.time_s >= from);
      return {
        type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, cliponaxis: false,
        x: marks.map((mark) => store.clock.axisMs(mark.time_s)), y: marks.map((mark) => mark.desired),
        marker: {
          symbol: marks.map((mark) => (mark.desired > mark.current ? "triangle-up" : "triangle-down")), size: 9,
          color: readInk("--ink"), line: { color: readInk("--panel"), width: 1 },
        },
      };
    }

    layout(top, whole) {
      const { store } = this.page;
      const view = span(store);
      const muted = readInk("--muted");
      const grid = readInk("--grid");
      const nowLine = view.to > view.now
        ? [{ type: "line", x0: store.clock.axisMs(view.now), x1: store.clock.axisMs(view.now), y0: 0, y1: 1, yref: "paper", line: { color: muted, width: 1, dash: "1px,3px" } }]
        : [];
      const high = whole ? Math.max(2, Math.ceil(top) + 0.4) : (top || 1) * 1.08;
      const { log } = this.definition;
      return {
        autosize: false, width: this.frame.clientWidth, height: this.frame.clientHeight, margin: MARGIN,
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", shapes: nowLine,
        font: { family: readInk("--font"), size: 11, color: muted },
        xaxis: {
          type: "date", range: [store.clock.axisMs(view.from), store.clock.axisMs(view.to)], tickformat: view.to - view.from > 90000 ? store.clock.dayFormat : view.to - view.from > 400 ? "%H:%M" : "%H:%M:%S",
          nticks: Math.max(2, Math.floor(this.inner() / 90)), showgrid: false, zeroline: false, linecolor: grid, showline: true, ticks: "outside", ticklen: 3, tickcolor: grid, automargin: false, fixedrange: true,
        },
        yaxis: {
          ...(log ? { type: "log", range: [Math.log10(log.low), Math.log10(high * 1.3)], dtick: 1 } : { range: [0, high] }), nticks: Math.max(2, Math.floor(this.definition.height / 34)), gridcolor: grid, zeroline: false, automargin: false, fixedrange: true,
          tickformat: this.definition.tickformat ?? "", tickprefix: this.definition.tickprefix ?? "", ticksuffix: this.definition.ticksuffix ?? "", ...(whole ? { tick0: 0, dtick: Math.max(1, Math.ceil(high / 4)) } : {}),
        },
        showlegend: false, hovermode: false, dragmode: false,
      };
    }
  }

  // A step that ends with nothing after it still holds until that instant.
  function heldToTheEnd(x, y) {
    const [at, values] = [[], []];
    y.forEach((value, index) => {
      if (value === null && index && y[index - 1] !== null) { at.push(x[index]); values.push(y[index - 1]); }
      at.push(x[index]);
      values.push(value);
    });
    return [at, values];
  }

  // A legend's swatch: colour and the line's style or the area's pattern.
  function swatch(style) {
    return node("span", { class: `swatch swatch-${style}`, "aria-hidden": "true" });
  }

  return { Chart, Cursor, node, swatch, indexAt, last, span, RUN_STYLES };
})();
