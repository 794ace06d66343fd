/** The models of a node in the column `model` of its figures. */
import { type SQL, type SQLWrapper, sql } from "drizzle-orm";

/** Separates the models of a node that has several; no normalised model contains it. */
const BETWEEN_MODELS = "|";

/** The column `model` of these normalised models. */
export function modelColumn(models: readonly string[]): string {
  return models.toSorted().join(BETWEEN_MODELS);
}

export function modelsOf(column: string): string[] {
  return column.split(BETWEEN_MODELS);
}

/** Matches the columns that contain a model. */
export function containsModel(column: SQLWrapper, model: SQLWrapper | string): SQL {
  const among = (text: SQLWrapper | string) =>
    sql`${BETWEEN_MODELS} || ${text} || ${BETWEEN_MODELS}`;
  return sql`instr(${among(column)}, ${among(model)}) > 0`;
}
