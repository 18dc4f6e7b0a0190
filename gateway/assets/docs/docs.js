// Shows the document of this very server; nothing is fetched from anywhere else.

// Dark where the device is.
const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

// Puts the name of a context above the first of its tags.
const contexts = {
  wrapComponents: {
    OperationTag: (Tag, system) => (props) => {
      const groups = system.specSelectors.specJson().get("x-tagGroups") || [];
      const begins = groups.find((group) => group.getIn(["tags", 0]) === props.tag);
      const h = system.React.createElement;
      const tag = h(Tag, props);
      return begins ? h("div", null, h("h2", { className: "title" }, begins.get("name")), tag) : tag;
    },
  },
};

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
  plugins: [contexts],
});
