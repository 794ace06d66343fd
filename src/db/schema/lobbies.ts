import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Objects in which runners wait for jobs, one for each set of offered specs. */
export const lobbies = sqliteTable("lobbies", {
  id: integer("id").primaryKey(),
  /** Of the object: a hash of its specs. */
  name: text("name").notNull().unique(),
  /** Written every 15 minutes: without it, the sockets of its runners count no more. */
  renewedAt: integer("renewed_at").notNull(),
});

/** The lobbies that a job for a spec wakes. No references: a lobby that is empty removes its rows. */
export const lobbySpecs = sqliteTable(
  "lobby_specs",
  {
    specUuid: text("spec_uuid").notNull(),
    lobbyId: integer("lobby_id").notNull(),
  },
  (table) => [primaryKey({ columns: [table.specUuid, table.lobbyId] })],
);
