declare namespace Cloudflare {
  interface Env {
    /** Given by vitest.config.ts. */
    TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
    REPORT_SIGNING_KEY: string;
    /** Given by `npm run fuzz`: how much of what is random, and which. */
    FUZZ?: { seed: number; lives: number; histories: number; minutes: number };
  }
}

declare module "*?raw" {
  const text: string;
  export default text;
}
