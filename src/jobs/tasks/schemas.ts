/** What a task looks like on the wire, in lists. */
import { z } from "@hono/zod-openapi";
import { taskFields } from "../../coordinator/wire-schemas.ts";
import { MAX_CURSOR_LENGTH } from "../../http/cursor.ts";
import { integer, orNull, word } from "../../http/schemas.ts";
import { taskResultMap } from "../result-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

const listedTask = z
  .strictObject({
    ...taskFields,
    benchmark_results: orNull(taskResultMap).openapi({
      description: "What this node has sent; null unless `include_results` asks for it.",
    }),
  })
  .openapi("ListedTask", { description: "One node's part of a job, as lists show it." });

const taskPagination = z
  .strictObject({
    page: integer({ min: 1, max: 2 ** 31 - 1, description: "This page, from 1.", example: 1 }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total: integer({ min: 0, max: MAX_COUNT, description: "Items on all pages.", example: 1 }),
    pages: integer({ min: 0, max: MAX_COUNT, description: "Pages in all.", example: 1 }),
    next_cursor: word({
      pattern: /^[A-Za-z0-9_-]+$/,
      max: MAX_CURSOR_LENGTH,
      description: "Where the next page begins, as `cursor`; null on the last one.",
    }).nullable(),
  })
  .openapi("TaskPagination", { description: "Where this page stands in the whole list." });

export const taskPage = z
  .strictObject({
    data: z.array(listedTask).max(300).openapi({ description: "The tasks of this page." }),
    pagination: taskPagination,
  })
  .openapi("TaskPage", { description: "One page of a list of tasks." });

export type ListedTaskWire = z.infer<typeof listedTask>;
