/** Words of the signed data of reports, which makers and checkers share. */

/** The type of the data's signature, in its protected header. */
export const JWS_TYPE = "assay-report+jws";
/** The form of the data: a reader refuses a form that it does not know. */
export const DATA_FORMAT = "assay-report/1";
/** The name of the data in a PDF. */
export const DATA_NAME = "report.json";
/** Bound of a report's file, and of what is read of one. */
export const MAX_FILE_BYTES = 64 * 1_024 * 1_024;
