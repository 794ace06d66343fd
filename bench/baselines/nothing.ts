/** The cost of workerd itself. */
export default { fetch: () => new Response(null, { status: 204 }) } satisfies ExportedHandler;
