/**
 * Version and description of the program. A test keeps them equal to package.json, which is not imported:
 * every isolate would load all of it.
 */
export const RELEASE = "0.1.0";
/** The version of the published command-line client whose calls the server answers as that client expects. */
export const COMPATIBLE_CLIENT = "0.6.12";
export const PRODUCT = "An open control plane for hardware benchmarks that runs at the edge.";
