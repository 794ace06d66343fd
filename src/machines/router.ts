import { toPagination } from "../api/lists.ts";
import { notFound } from "../http/errors.ts";
import { announcePage, readPage } from "../http/paging.ts";
import { single } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { scopeOf } from "../identity/actor.ts";
import {
  getMachineHistoryRoute,
  getMachineRoute,
  type ListMachinesQuery,
  listMachinesRoute,
  MAX_SHORT_NAME_MACHINES,
} from "./contract.ts";
import { toHistory } from "./history.ts";
import { lastTasks } from "./history-store.ts";
import { MAX_POINTS } from "./schemas.ts";
import { findMachine, listMachines, type MachineList, ORDER } from "./store.ts";
import { toMachineWire } from "./wire.ts";

export const machinesRoutes = () => [
  serve(listMachinesRoute, async (c) => {
    const query = c.req.valid("query");
    const { session: db } = c.get("databases");
    const scope = scopeOf(c.get("actor"));
    const page = await readPage(query, ORDER, (window) =>
      listMachines(db, scope, listOf(query), window, MAX_SHORT_NAME_MACHINES),
    );
    announcePage(c, page);
    return c.json({ results: page.items.map(toMachineWire), pagination: toPagination(page) }, 200);
  }),

  serve(getMachineRoute, async (c) => {
    const { machine_uuid } = c.req.valid("param");
    const { session: db } = c.get("databases");
    const row = await findMachine(db, scopeOf(c.get("actor")), machine_uuid);
    if (row === null) throw notFound("Machine", machine_uuid);
    return single(c, toMachineWire(row));
  }),

  serve(getMachineHistoryRoute, async (c) => {
    const { machine_uuid } = c.req.valid("param");
    const { session: db } = c.get("databases");
    const scope = scopeOf(c.get("actor"));
    const past = await lastTasks(db, scope, machine_uuid, MAX_POINTS + 1);
    if (past.length === 0) throw notFound("Machine", machine_uuid);
    return single(c, toHistory(machine_uuid, past, c.req.valid("query").metric));
  }),
];

function listOf(query: ListMachinesQuery): MachineList {
  return {
    gpuModel: query.gpu_model,
    provider: query.provider,
    region: query.region,
    status: query.status,
    specCheck: query.spec_check,
    hasFindings: query.has_findings || undefined,
    name: query.name,
  };
}
