// Figures and instants as a person reads them. Every figure is "value unit" with a fixed number of digits, so that it
// does not jump; what was not measured is a dash, never a nought.
"use strict";

const Format = (() => {
  // The first of a month of 31 days, not 1970 itself: plotly takes numbers of four digits for years, not milliseconds.
  const VIRTUAL_ORIGIN_S = 59 * 86400;
  const NONE = "–";
  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

  // [value, unit], so that a large figure can show its unit small.
  function latency(seconds) {
    if (!isNumber(seconds)) return [NONE, ""];
    const ms = seconds * 1000;
    if (ms < 9.95) return [ms.toFixed(1), "ms"];
    if (ms < 999.5) return [ms.toFixed(0), "ms"];
    if (seconds < 99.95) return [seconds.toFixed(2), "s"];
    return [seconds.toFixed(0), "s"];
  }

  const join = (pair) => (pair[1] ? `${pair[0]} ${pair[1]}` : pair[0]);
  const seconds = (value) => join(latency(value));

  function duration(value) {
    if (!isNumber(value)) return NONE;
    const whole = Math.max(0, Math.round(value));
    if (whole < 90) return `${whole} s`;
    if (whole < 5400) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
    return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  }

  const count = (value) => (isNumber(value) ? Math.round(value).toLocaleString("en") : NONE);
  const rate = (value) => (isNumber(value) ? (value < 100 ? value.toFixed(1) : count(value)) : NONE);
  const percent = (ratio, digits = 0) => (isNumber(ratio) ? `${(ratio * 100).toFixed(digits)} %` : NONE);

  function hours(value) {
    if (!isNumber(value)) return NONE;
    return value < 0.1 ? `${(value * 60).toFixed(1)} min` : `${value < 10 ? value.toFixed(2) : value.toFixed(1)} h`;
  }

  function usd(value) {
    if (!isNumber(value)) return NONE;
    const digits = Math.abs(value) < 0.1 ? 4 : Math.abs(value) < 1 ? 3 : Math.abs(value) < 1000 ? 2 : 0;
    const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return `${value < 0 ? "−" : ""}$${text}`;
  }

  // Instants: seconds of the run in, what a clock on the wall showed out: the reader's own clock, or (a report) the one
  // where it ran. In virtual time, the run's own seconds.
  function clock({ started_unix_s: startedUnixS, utc_offset_s: givenOffsetS }) {
    const offsetS = isNumber(startedUnixS) ? (givenOffsetS ?? -new Date(startedUnixS * 1000).getTimezoneOffset() * 60) : 0;
    const originS = isNumber(startedUnixS) ? startedUnixS + offsetS : VIRTUAL_ORIGIN_S;
    // A run that goes on past its first midnight counts days.
    const day = (timeS) => {
      const number = Math.floor((originS + timeS) / 86400) - Math.floor(originS / 86400);
      return number ? `day ${number + 1}, ` : "";
    };
    return {
      // Plotly draws dates as UTC: milliseconds that show the right figures there.
      axisMs: (timeS) => (originS + timeS) * 1000,
      text: (timeS) => (isNumber(timeS) ? `${day(timeS)}${new Date((originS + timeS) * 1000).toISOString().slice(11, 19)}` : NONE),
      dayFormat: isNumber(startedUnixS) ? "%b %-d, %H:%M" : "day %-d, %H:%M",
      date: () => (isNumber(startedUnixS) ? new Date(originS * 1000).toISOString().slice(0, 10) : "virtual time"),
    };
  }

  return { NONE, isNumber, latency, seconds, duration, count, rate, percent, hours, usd, clock };
})();
