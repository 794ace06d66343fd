// All files come from this server; the validator service of swagger.io is off. Passwords and tokens stay in the page's
// memory: Swagger UI would keep them in localStorage, in clear text and for ever.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
