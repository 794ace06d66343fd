import { Option } from "@commander-js/extra-typings";
import { GROUPINGS, type Grouping, RATED_METRICS } from "../../../src/lib/enums.ts";
import { body } from "../api/client.ts";
import type { Comparison } from "../api/types.ts";
import { EXIT } from "../exit-codes.ts";
import { usage } from "../failure.ts";
import { labelOf, showNumber } from "../job/outcome.ts";
import { table } from "../output/table.ts";
import { plain } from "../output/text.ts";
import { type AnyCommand, type Open, verb } from "./open.ts";

type Group = Comparison["groups"][number];

/** A group beside the others of its class: figures of two classes do not compare. */
interface Compared extends Group {
  /** Its median divided by that of the first key of its class that has one. */
  ratio: number | null;
  is_best: boolean;
}

export function compareCommand(open: Open): AnyCommand {
  return verb("compare", "Compare jobs, machines, models, providers, regions or specs, per GPU", [
    "assay compare 7554621440 7554625536",
    "assay compare --by provider Lambda 'Example Cloud' --gpu-model a100-sxm4-80gb",
  ])
    .argument("<keys...>", "2 to 20 ids of jobs, UUIDs of machines, or names (see --by)")
    .addOption(
      new Option("--by <kind>", "kind of the names; not needed for jobs and machines").choices(
        GROUPINGS,
      ),
    )
    .addOption(new Option("--metric <metric>", "only this figure").choices(RATED_METRICS))
    .option("--gpu-model <model>", "only figures of this GPU model")
    .action(async (keys, options, self) => {
      const { api, output } = open(self);
      if (keys.length < 2 || keys.length > 20) throw usage("give 2 to 20 keys to compare");
      const group_by = options.by ?? kindOf(keys);
      const client = api();
      const compared = await Promise.all(
        (options.metric === undefined ? RATED_METRICS : [options.metric]).map(async (metric) => {
          const query = {
            group_by,
            key: keys,
            metric,
            ...(options.gpuModel === undefined ? {} : { gpu_model: options.gpuModel }),
          };
          const found = await body(
            client.GET("/api/silicon-mark/v1/comparison", { params: { query } }),
          );
          return { metric, groups: compareGroups(found.groups) };
        }),
      );
      await output.result({ group_by, comparisons: compared }, () =>
        compared.flatMap(({ metric, groups }, at) => [
          ...(at > 0 ? [""] : []),
          ...showGroups(metric, groups),
        ]),
      );
      const isCompared = compared.some(({ groups }) => groups.some(({ is_best }) => is_best));
      if (!isCompared) process.exitCode = EXIT.unrated;
    });
}

function kindOf(keys: readonly string[]): Grouping {
  if (keys.every((key) => /^\d+$/.test(key))) return "job";
  if (keys.every((key) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(key)))
    return "machine";
  throw usage(`use --by to say what these are: ${GROUPINGS.join(", ")}`);
}

/** Pure: adds the ratio to the first of the same class, and which of several is the best. */
export function compareGroups(groups: readonly Group[]): Compared[] {
  return groups.map((group) => {
    const rivals = groups.filter((other) => other.class === group.class && other.median !== null);
    const first = rivals[0]?.median ?? null;
    const best = Math.max(...rivals.map(({ median }) => median ?? 0));
    const { median } = group;
    return {
      ...group,
      ratio: median === null || first === null || first === 0 ? null : median / first,
      is_best: rivals.length > 1 && median === best,
    };
  });
}

function showGroups(metric: string, groups: readonly Compared[]): string[] {
  const best = groups.filter(({ is_best }) => is_best);
  const verdicts = best.map((group) => {
    const others = groups.filter(
      (other) => other.class === group.class && other !== group && other.median !== null,
    );
    const next = Math.max(...others.map(({ median }) => median ?? 0));
    const lead = next > 0 && group.median !== null ? group.median / next - 1 : 0;
    const size = lead === 0 ? "as good as the next" : `${(lead * 100).toFixed(1)} % above the next`;
    return `Best${groups.some((one) => one.class !== group.class && one.class !== null) ? ` of ${group.class}` : ""}: ${plain(group.label)}, ${size}`;
  });
  return [
    `${labelOf(metric)}, per GPU`,
    ...table(
      [
        { title: "Of", of: (group: Compared) => group.label },
        { title: "Class", of: (group) => group.class },
        { title: "Median", of: (group) => showNumber(group.median) },
        { title: "Ratio", of: (group) => group.ratio?.toFixed(3) },
        {
          title: "Middle half",
          of: ({ q1, q3 }) => (q1 === null ? null : `${showNumber(q1)}–${showNumber(q3)}`),
        },
        {
          title: "Range",
          of: ({ min, max }) => (min === null ? null : `${showNumber(min)}–${showNumber(max)}`),
        },
        { title: "Figures", of: (group) => group.n },
        { title: "Machines", of: (group) => group.machines },
      ],
      groups,
    ),
    ...(verdicts.length === 0
      ? ["Nothing can be compared: no two of them have figures of the same class."]
      : verdicts),
  ];
}
