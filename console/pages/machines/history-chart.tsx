/** The figures of one metric over time, drawn by uPlot: lines, with drops marked and hardware changes across. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { words } from "../../words.ts";
import type { Series } from "./series.ts";

const text = words.machines;
const HEIGHT = 220;

interface HistoryChartProps {
  name: string;
  unit: string;
  series: readonly Series[];
  /** Times of hardware changes, ms. */
  changes: readonly number[];
}

export function HistoryChart({ name, unit, series, changes }: HistoryChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const points = series.reduce((sum, { steps }) => sum + steps.length, 0);
  const drops = series.flatMap(({ steps }) => steps.filter(({ isDrop }) => isDrop)).length;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    let plot = drawPlot(element, { name, unit, series, changes });
    const resize = new ResizeObserver(() =>
      plot.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resize.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const again = () => {
      plot.destroy();
      plot = drawPlot(element, { name, unit, series, changes });
    };
    scheme.addEventListener("change", again);
    return () => {
      scheme.removeEventListener("change", again);
      resize.disconnect();
      plot.destroy();
    };
  }, [name, unit, series, changes]);
  return (
    <figure class="chart">
      <figcaption>
        <b>{name}</b> <span class="soft">{unit}</span>{" "}
        <span class={drops > 0 ? "drop-count" : "soft"}>{text.drops(drops)}</span>
      </figcaption>
      <div class="plot" ref={place} role="img" aria-label={text.chart(name, points, drops)} />
    </figure>
  );
}

/** A colour of the styles, as it is now: a canvas knows nothing of variables. */
function colour(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const LINES = ["--accent", "--busy", "--warn", "--good"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

function drawPlot(element: HTMLElement, chart: HistoryChartProps): uPlot {
  const { series, changes, unit } = chart;
  const { times, columns, dropsAt } = align(series);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 } };
  const bad = colour("--bad");
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      legend: { show: series.length > 1 },
      cursor: { y: false },
      scales: { y: { range: (_, low, high) => rangeOf(low, high) } },
      axes: [
        { ...axis, values: (_, at) => at.map(shortTime) },
        { ...axis, size: 64 },
      ],
      series: [
        {},
        ...series.map(({ label }, at) => ({
          label: label || unit,
          stroke: colour(LINES[at % LINES.length] ?? "--accent"),
          dash: DASHES[at % DASHES.length] ?? [],
          width: 2,
          spanGaps: true,
          points: { show: true, size: 6 },
        })),
      ],
      hooks: {
        draw: [
          (plot) => {
            for (const at of changes) drawChange(plot, at / 1_000, colour("--soft"));
            for (const { at, value } of dropsAt) drawDrop(plot, at, value, bad);
          },
        ],
      },
    },
    [times, ...columns],
    element,
  );
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Under a mark of the axis: what tells it from its neighbours. */
function shortTime(seconds: number, at: number, all: readonly number[]): string {
  const time = new Date(seconds * 1_000);
  const step = (all[1] ?? seconds) - (all[0] ?? seconds);
  if (step >= 86_400) return day.format(time);
  const clock = step >= 60 ? hour.format(time) : second.format(time);
  return at === 0 ? `${clock}\n${day.format(time)}` : clock;
}

/** Room above and below, also for a line of one figure; from zero it would show no drop. */
function rangeOf(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.2, high * 0.05);
  return [Math.max(0, low - room), high + room];
}

/** One axis of time for all lines, in seconds; a line has null where it has no figure. */
function align(series: readonly Series[]) {
  const secondsOf = (at: string) => new Date(at).getTime() / 1_000;
  const times = [
    ...new Set(series.flatMap(({ steps }) => steps.map(({ point }) => secondsOf(point.at)))),
  ].sort((a, b) => a - b);
  const columns = series.map(({ steps }) => {
    const byTime = new Map(steps.map(({ point }) => [secondsOf(point.at), point.value]));
    return times.map((time) => byTime.get(time) ?? null);
  });
  const dropsAt = series.flatMap(({ steps }) =>
    steps
      .filter(({ isDrop }) => isDrop)
      .map(({ point }) => ({ at: secondsOf(point.at), value: point.value })),
  );
  return { times, columns, dropsAt };
}

/** A triangle that points down, below the figure. */
function drawDrop(plot: uPlot, at: number, value: number, fill: string): void {
  const { ctx: context } = plot;
  const x = plot.valToPos(at, "x", true);
  const y = plot.valToPos(value, "y", true);
  const size = 7 * devicePixelRatio;
  context.save();
  context.fillStyle = fill;
  context.beginPath();
  context.moveTo(x - size, y + size * 0.8);
  context.lineTo(x + size, y + size * 0.8);
  context.lineTo(x, y + size * 2.2);
  context.fill();
  context.restore();
}

/** A dashed line across the chart. */
function drawChange(plot: uPlot, at: number, stroke: string): void {
  const { ctx: context, bbox } = plot;
  const x = plot.valToPos(at, "x", true);
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  context.save();
  context.strokeStyle = stroke;
  context.lineWidth = devicePixelRatio;
  context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  context.beginPath();
  context.moveTo(x, bbox.top);
  context.lineTo(x, bbox.top + bbox.height);
  context.stroke();
  context.restore();
}
