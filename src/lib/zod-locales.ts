/**
 * Replaces zod's 64 locales, which its namespace would pull into the bundle (`[alias]` in
 * wrangler.toml). English is not among them: zod imports it by itself.
 */
export {};
