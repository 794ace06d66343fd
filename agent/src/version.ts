/** The agent's version; a test keeps it equal to package.json, which the one-file bundle cannot read. */
export const AGENT_VERSION = "0.1.0";
