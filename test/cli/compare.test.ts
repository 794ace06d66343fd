/** Which of several is better, and by how much. */
import { expect, test } from "vitest";
import { compareGroups } from "../../cli/src/commands/compare.ts";

type Groups = Parameters<typeof compareGroups>[0];

// `as`: the fields that decide.
const groups = (...medians: [string, string | null, number | null][]) =>
  medians.map(([key, group, median]) => ({ key, class: group, median })) as unknown as Groups;
const outcome = (...medians: [string, string | null, number | null][]) =>
  compareGroups(groups(...medians)).map(({ key, ratio, is_best }) => [key, ratio, is_best]);

test("ratios are to the first of the same class, and the highest median is the best", () => {
  expect(outcome(["a", "copy", 100], ["b", "copy", 150], ["c", "copy", 50])).toEqual([
    ["a", 1, false],
    ["b", 1.5, true],
    ["c", 0.5, false],
  ]);
});

test("figures of two classes are not compared", () => {
  expect(outcome(["a", "copy", 100], ["b", "mma-gemm", 150])).toEqual([
    ["a", 1, false],
    ["b", 1, false],
  ]);
});

test("a key without figures is neither the first nor the best", () => {
  expect(outcome(["a", null, null], ["b", "copy", 150], ["c", "copy", 150])).toEqual([
    ["a", null, false],
    ["b", 1, true],
    ["c", 1, true],
  ]);
});
