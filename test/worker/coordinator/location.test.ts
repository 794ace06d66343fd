/** A job's object lives near the machine that makes first contact. */
import { test } from "vitest";
import { createCoordinatorClient, locationHintFor } from "../../../src/coordinator/client.ts";
import { createMeter } from "../../../src/db/client.ts";

test.for([
  ["NA", "-122.3", "wnam"],
  ["NA", "-74.0", "enam"],
  ["SA", "-46.6", "sam"],
  ["EU", "2.35", "weur"],
  ["EU", "21.0", "eeur"],
  ["AS", "55.3", "me"],
  ["AS", "139.7", "apac"],
  ["OC", "151.2", "oc"],
  ["AF", "28.0", "afr"],
  ["AN", "0", undefined],
  [undefined, undefined, undefined],
] as const)("%s at %s: %s", ([continent, longitude, hint], { expect }) => {
  expect(locationHintFor({ continent, longitude })).toBe(hint);
});

test("the hint goes along with a node's call, and none without a place", async ({ expect }) => {
  const hints: unknown[] = [];
  // The part of a namespace that the client uses.
  const namespace = {
    idFromName: (name: string) => name,
    get: (_id: unknown, options: unknown) => {
      hints.push(options);
      return {};
    },
  } as unknown as Parameters<typeof createCoordinatorClient>[0];
  const callCoordinator = createCoordinatorClient(namespace);
  const target = { jobId: 512, meter: createMeter() };
  const place = { continent: "EU", longitude: "2.35" };
  await callCoordinator({ ...target, place }, async () => "done");
  await callCoordinator(target, async () => "done");
  expect(hints).toEqual([{ locationHint: "weur" }, {}]);
  expect(target.meter.objectHops).toBe(2);
});
