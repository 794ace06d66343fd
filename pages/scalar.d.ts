/** The part of Scalar's reference that the docs page uses. Its package is fetched as one built file, without types. */
declare module "@scalar/api-reference" {
  export interface ReferenceOptions {
    /** The API document, as JSON. */
    content: string;
    customFetch: typeof fetch;
    [option: string]: unknown;
  }

  export function createApiReference(selector: string, options: ReferenceOptions): unknown;
}
