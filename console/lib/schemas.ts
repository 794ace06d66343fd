import type { components } from "../../public/client.d.ts";

/** The forms of the API's replies and bodies, by name. */
export type Schemas = components["schemas"];
