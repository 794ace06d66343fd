/**
 * The version of this program and what it is, in a word. A test keeps them equal to package.json, which is
 * not imported: every request would load all of it.
 */
export const RELEASE = "0.1.0";
export const PRODUCT = "An open control plane for hardware benchmarks that runs at the edge.";
