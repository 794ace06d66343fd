/** The heat map of a cluster's links, on a canvas: one pass over a typed array, whether 12 links or 65,280. */
import { useEffect, useRef, useState } from "preact/hooks";
import { figure as format } from "../../lib/format.ts";
import { words } from "../../words.ts";
import { type LinkFigure, type LinkTable, placeOf, scaleOf } from "./links.ts";

const text = words.links;
/** Steps of the colour scale, dark to light; in all of them lightness rises with the value. */
const STEPS = 64;
/** Edge of a link on the page, px; less where there are many. */
export const MAX_CELL = 36;

type Rgb = readonly [number, number, number];
/** Viridis: rises evenly in lightness, and reads the same for people who see few colours. */
const VIRIDIS: readonly Rgb[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];
const FAILED: Rgb = [214, 40, 57];

function colourAt(place: number): Rgb {
  const at = place * (VIRIDIS.length - 1);
  const low = VIRIDIS[Math.floor(at)] ?? FAILED;
  const high = VIRIDIS[Math.ceil(at)] ?? FAILED;
  const share = at - Math.floor(at);
  const mix = (index: 0 | 1 | 2) => Math.round(low[index] + (high[index] - low[index]) * share);
  return [mix(0), mix(1), mix(2)];
}

const SCALE = Array.from({ length: STEPS }, (_, step) => colourAt(step / (STEPS - 1)));

interface LinkMapProps {
  table: LinkTable;
  figure: LinkFigure;
}

export function LinkMap({ table, figure }: LinkMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cell, setCell] = useState<{ source: number; target: number } | null>(null);
  const { nodeCount } = table;
  const scale = scaleOf(table.values[figure]);
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, table, figure);
  }, [table, figure]);
  const at = (event: MouseEvent) => {
    const box = canvas.current?.getBoundingClientRect();
    if (box === undefined || box.width === 0) return;
    const place = (offset: number, size: number) =>
      Math.max(0, Math.min(nodeCount - 1, Math.floor((offset / size) * nodeCount)));
    setCell({
      target: place(event.clientX - box.left, box.width),
      source: place(event.clientY - box.top, box.height),
    });
  };
  const move = (event: KeyboardEvent) => {
    const step = ARROWS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { source, target } = cell ?? { source: 0, target: 0 };
    const clamp = (rank: number) => Math.max(0, Math.min(nodeCount - 1, rank));
    setCell({ source: clamp(source + step[0]), target: clamp(target + step[1]) });
  };
  return (
    <figure class="link-map">
      <div class="map-frame" style={{ maxWidth: `${nodeCount * MAX_CELL}px` }}>
        <canvas
          ref={canvas}
          role="img"
          tabIndex={0}
          aria-label={`${text.map(text.figures[figure], nodeCount)} ${text.hint}`}
          onMouseMove={at}
          onMouseLeave={() => setCell(null)}
          onClick={at}
          onKeyDown={move}
        />
        {cell !== null && (
          <span
            class="map-cell"
            style={{
              left: `${(cell.target / nodeCount) * 100}%`,
              top: `${(cell.source / nodeCount) * 100}%`,
              width: `${100 / nodeCount}%`,
              height: `${100 / nodeCount}%`,
            }}
          />
        )}
      </div>
      <figcaption>
        <Legend scale={scale} figure={figure} hasFailures={table.failed > 0} />
        <p class="reading" aria-live="polite">
          {cell === null ? text.hint : readCell(table, cell)}
        </p>
      </figcaption>
    </figure>
  );
}

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

function readCell(table: LinkTable, { source, target }: { source: number; target: number }) {
  const name = text.link(source, target);
  const value = (of: LinkFigure) =>
    table.values[of][source * table.nodeCount + target] ?? Number.NaN;
  if (source === target) return name;
  if (Number.isNaN(value("bandwidth"))) return `${name}: ${text.failed}`;
  return `${name}: ${format(value("bandwidth"))} ${text.units.bandwidth}, ${format(value("latency"))} ${text.units.latency}`;
}

interface LegendProps {
  scale: { low: number; high: number } | null;
  figure: LinkFigure;
  hasFailures: boolean;
}

function Legend({ scale, figure, hasFailures }: LegendProps) {
  const unit = text.units[figure];
  const stops = VIRIDIS.map((colour) => `rgb(${colour.join(" ")})`).join(", ");
  return (
    <div class="legend">
      <span>{scale === null ? "–" : `${format(scale.low)} ${unit}`}</span>
      <span class="legend-scale" style={{ background: `linear-gradient(to right, ${stops})` }} />
      <span>{scale === null ? "–" : `${format(scale.high)} ${unit}`}</span>
      {hasFailures && (
        <span class="legend-failed">
          <span aria-hidden="true">×</span> {text.legendFailed}
        </span>
      )}
    </div>
  );
}

/** Colours each link by its place on the scale; failed ones are crossed out. */
function draw(canvas: HTMLCanvasElement, table: LinkTable, figure: LinkFigure): void {
  const { nodeCount } = table;
  // Whole pixels for each cell, so that a cross has room.
  const size = Math.max(1, Math.min(16, Math.floor(1_024 / nodeCount)));
  canvas.width = nodeCount * size;
  canvas.height = nodeCount * size;
  const context = canvas.getContext("2d");
  const values = table.values[figure];
  const scale = scaleOf(values);
  if (context === null || scale === null) return;
  for (const { source, target, error } of table.links) {
    const value = values[source * nodeCount + target] ?? Number.NaN;
    const [x, y] = [target * size, source * size];
    const isFailed = error !== null || Number.isNaN(value);
    const place = Math.round(placeOf(value, scale) * (STEPS - 1));
    const colour = isFailed ? FAILED : (SCALE[place] ?? FAILED);
    context.fillStyle = `rgb(${colour.join(" ")})`;
    context.fillRect(x, y, size, size);
    if (isFailed && size > 5) cross(context, x, y, size);
  }
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.strokeStyle = "#fff";
  context.lineWidth = Math.max(1, size / 8);
  context.beginPath();
  for (const [from, to] of [
    [0.2, 0.8],
    [0.8, 0.2],
  ] as const) {
    context.moveTo(x + from * size, y + 0.2 * size);
    context.lineTo(x + to * size, y + 0.8 * size);
  }
  context.stroke();
}
