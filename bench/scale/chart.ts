/** Curves as SVG: logarithmic axes with numbers, readable on light and dark pages. */

export interface Curve {
  name: string;
  points: readonly { x: number; y: number }[];
  /** Drawn with dashes: a bound or a comparison. */
  isReference?: boolean;
}

export interface Chart {
  title: string;
  xLabel: string;
  yLabel: string;
  curves: readonly Curve[];
}

const WIDTH = 720;
const HEIGHT = 400;
const PLOT = { left: 76, top: 44, right: 500, bottom: 346 };
/** Distinguishable with impaired colour vision, and against both grounds. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08900", "#56b4e9", "#7a68c8"];
const STYLE = `<style>
text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}
.ground{fill:#fff}.grid{stroke:#d8dee4}.axis{stroke:#57606a}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#8b949e}}
</style>`;

/** Draws a chart. Points of 0 or less have no place on a logarithmic axis and are left out. */
export function drawChart({ title, xLabel, yLabel, curves }: Chart): string {
  const shown = curves.map((curve) => ({
    ...curve,
    points: curve.points.filter(({ x, y }) => x > 0 && y > 0),
  }));
  const all = shown.flatMap(({ points }) => points);
  if (all.length === 0) throw new RangeError(`${title}: no point to draw`);
  const x = axisOf(
    all.map((point) => point.x),
    [PLOT.left, PLOT.right],
  );
  const y = axisOf(
    all.map((point) => point.y),
    [PLOT.bottom, PLOT.top],
  );
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    STYLE,
    `<rect class="ground" width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${PLOT.left}" y="24" class="title">${escaped(title)}</text>`,
    ...x.ticks.map((tick) => verticalLine(x.place(tick), tick)),
    ...y.ticks.map((tick) => horizontalLine(y.place(tick), tick)),
    `<path class="axis" fill="none" stroke="#57606a" d="M${PLOT.left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}"/>`,
    `<text x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 40}" text-anchor="middle">${escaped(xLabel)}</text>`,
    `<text transform="translate(18 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(yLabel)}</text>`,
    ...shown.map((curve, index) => drawCurve(curve, index, x.place, y.place)),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

function drawCurve(
  { name, points, isReference = false }: Curve,
  index: number,
  placeX: (value: number) => number,
  placeY: (value: number) => number,
): string {
  const colour = COLOURS[index % COLOURS.length];
  const at = points.map(({ x, y }) => `${round(placeX(x))} ${round(placeY(y))}`);
  const dashes = isReference ? ' stroke-dasharray="5 4"' : "";
  const dots = isReference
    ? ""
    : at
        .map((place) => {
          const [cx, cy] = place.split(" ");
          return `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`;
        })
        .join("");
  const line = PLOT.top + 10 + index * 20;
  const from = PLOT.right + 16;
  return [
    `<path fill="none" stroke="${colour}" stroke-width="2"${dashes} d="M${at.join("L")}"/>${dots}`,
    `<path stroke="${colour}" stroke-width="2"${dashes} d="M${from} ${line}h22"/>`,
    `<text x="${from + 28}" y="${line + 4}">${escaped(name)}</text>`,
  ].join("\n");
}

function verticalLine(at: number, tick: number): string {
  return `<path class="grid" stroke="#d8dee4" d="M${round(at)} ${PLOT.top}V${PLOT.bottom}"/><text x="${round(at)}" y="${PLOT.bottom + 18}" text-anchor="middle">${formatTick(tick)}</text>`;
}

function horizontalLine(at: number, tick: number): string {
  return `<path class="grid" stroke="#d8dee4" d="M${PLOT.left} ${round(at)}H${PLOT.right}"/><text x="${PLOT.left - 8}" y="${round(at) + 4}" text-anchor="end">${formatTick(tick)}</text>`;
}

/** Powers of ten around the values; within two decades 2 and 5 as well. */
export function ticksOf(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const from = Math.floor(Math.log10(low) + 1e-9);
  const to = Math.max(Math.ceil(Math.log10(high) - 1e-9), from + 1);
  const steps = to - from <= 2 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = from; power <= to; power++) {
    for (const step of steps) ticks.push(Number((step * 10 ** power).toPrecision(1)));
  }
  return ticks.filter((tick) => tick <= 10 ** to);
}

function axisOf(values: readonly number[], [from, to]: readonly [number, number]) {
  const ticks = ticksOf(values);
  const low = Math.log10(ticks[0] ?? 1);
  const high = Math.log10(ticks.at(-1) ?? 10);
  return {
    ticks,
    place: (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
  };
}

/** As short as a tick can be: 1,000 is 1k. */
export function formatTick(tick: number): string {
  if (tick >= 1e9) return `${tick / 1e9}G`;
  if (tick >= 1e6) return `${tick / 1e6}M`;
  if (tick >= 1e3) return `${tick / 1e3}k`;
  return String(tick);
}

const round = (value: number) => Math.round(value * 10) / 10;
const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
