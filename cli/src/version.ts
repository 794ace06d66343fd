/** Version of `assay`; a test keeps it equal to package.json, which the one-file bundle cannot read. */
export const VERSION = "0.1.0";
