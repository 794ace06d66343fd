/** The agent's loop once more, with a channel: the same tests, and what they say holds for both. */
import { useTransport } from "./helpers.ts";

useTransport("channel");
await import("./run-loop.test.ts");
