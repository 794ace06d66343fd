/** A machine's history as lines: one for each figure that compares with itself. Pure. */
import type { Schemas } from "../../lib/schemas.ts";

export type Point = Schemas["MachinePoint"];

export interface Step {
  point: Point;
  /** Share of the figure before, of the same line; null for the first. */
  change: number | null;
  isDrop: boolean;
}

export interface Series {
  key: string;
  metric: string;
  /** Model and class; figures of two of them do not compare. */
  label: string;
  /** Oldest first. */
  steps: readonly Step[];
}

/** @param dropBelow share of the figure before; below it is a drop */
export function seriesOf(points: readonly Point[], dropBelow: number): Series[] {
  const lines = new Map<string, Point[]>();
  for (const point of points.toReversed()) {
    const key = `${point.metric} ${point.gpu_model} ${point.class}`;
    const line = lines.get(key) ?? [];
    line.push(point);
    lines.set(key, line);
  }
  return [...lines].map(([key, line]) => {
    const [first] = line;
    return {
      key,
      metric: first?.metric ?? "",
      label: [first?.gpu_model, first?.class].filter(Boolean).join(", "),
      steps: line.map((point, at) => {
        const before = line[at - 1]?.value ?? 0;
        const change = at === 0 || before <= 0 ? null : point.value / before;
        return { point, change, isDrop: change !== null && change < dropBelow };
      }),
    };
  });
}
