/** A fault of one field of a request. */
export interface FieldFault {
  /** Dotted path of the field, such as `benchmarks.0.config`. */
  field: string;
  message: string;
}
