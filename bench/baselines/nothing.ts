/** What workerd itself costs. */
export default { fetch: () => new Response(null, { status: 204 }) } satisfies ExportedHandler;
