// Shows the document of this very server; nothing is fetched from anywhere else.
SwaggerUIBundle({
  dom_id: "#docs",
  url: "/v1/openapi.json",
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  // Schemas are shown where they are used: hundreds of them in a row help nobody.
  defaultModelsExpandDepth: -1,
  defaultModelExpandDepth: 2,
});
