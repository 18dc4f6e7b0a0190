// A form of Deskfold on another site: built here, behind a shadow of its own, without cookies and without frames.
(() => {
  const form = "FORM";
  const script = document.currentScript;
  if (!script) return;
  const host = document.createElement("div");
  host.lang = form.language;
  // Without a word of the page's it is as light as what it stands on.
  const { theme } = script.dataset;
  if (theme === "light" || theme === "dark") host.style.setProperty("color-scheme", theme, "important");
  script.after(host);
  const shadow = host.attachShadow({ mode: "open" });

  /** An element with attributes and children; text stays text. */
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { display: block; font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; }
    * { box-sizing: border-box; }
    h2 { margin: 0 0 0.5rem; font-size: 1.3rem; }
    p { margin: 0 0 0.75rem; }
    .field { margin: 0 0 1rem; }
    .field.left { display: grid; grid-template-columns: minmax(6rem, 1fr) 2fr; gap: 0 1rem; align-items: center; }
    .field.left > :not(label, input, select, textarea) { grid-column: 2; }
    .field > label { display: block; margin-bottom: 0.25rem; font-weight: 550; }
    .optional, .hint { color: light-dark(#555d63, #a9b2b9); font-weight: 400; font-size: 0.9rem; margin: 0.25rem 0 0; }
    .wrong { color: light-dark(#a8201a, #ffb0a8); font-weight: 500; font-size: 0.9rem; margin: 0.25rem 0 0; }
    input:not([type="checkbox"]), select, textarea { width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; font: inherit;
      color: light-dark(#1b1e20, #e9ecee); background: light-dark(#fff, #1b1f22); border: 1px solid light-dark(#7b838a, #7d878f); border-radius: 0.5rem; }
    [aria-invalid="true"] { border-color: light-dark(#a8201a, #ffb0a8) !important; }
    .check { display: flex; gap: 0.5rem; align-items: center; min-height: 2.75rem; }
    .check input { width: 1.25rem; height: 1.25rem; flex: none; }
    button { min-height: 2.75rem; padding: 0.5rem 1rem; font: inherit; font-weight: 600; color: light-dark(#fff, #06231e);
      background: light-dark(#0b6b5d, #6fd3c1); border: 0; border-radius: 0.5rem; cursor: pointer; }
    button[disabled] { opacity: 0.6; }
    :focus-visible { outline: 3px solid light-dark(#0b6b5d, #6fd3c1); outline-offset: 2px; }
    .trap { position: absolute; inset-inline-start: -100vw; width: 1px; height: 1px; overflow: hidden; }
    [hidden] { display: none !important; }`);
  shadow.adoptedStyleSheets = [sheet];

  const controls = new Map();
  const control = (field) => {
    const id = `field-${field.key}`;
    const common = {
      id,
      name: field.key,
      autocomplete: field.autocomplete,
      "aria-describedby": field.help ? `${id}-help` : null,
      "aria-label": field.label_position === "hidden" ? field.label : null,
    };
    if (field.input === "textarea") return make("textarea", { ...common, rows: "5", placeholder: field.placeholder }, field.default ?? "");
    if (field.input === "select") {
      const empty = make("option", { value: "" }, field.placeholder ?? form.says.choose);
      const options = field.options.map(([value, label]) => make("option", { value, selected: value === field.default }, label));
      return make("select", common, empty, ...options);
    }
    if (field.input === "checkbox") return make("input", { ...common, type: "checkbox", value: "true", checked: Boolean(field.default) });
    return make("input", {
      ...common,
      type: field.input,
      step: field.input === "number" ? "any" : null,
      placeholder: field.placeholder,
      value: field.default,
    });
  };

  const parts = form.fields.map((field) => {
    const id = `field-${field.key}`;
    const tick = field.input === "checkbox";
    const input = control(field);
    const label = make("label", { for: id }, field.label);
    if (!field.required && !tick) label.append(" ", make("span", { class: "optional" }, form.says.optional));
    const part = make("div", { class: `field ${tick ? "tick" : field.label_position}`, "data-animation": field.animation });
    if (tick) part.append(make("div", { class: "check" }, input, label));
    else part.append(...(field.label_position === "hidden" ? [] : [label]), input);
    if (field.help) part.append(make("p", { class: "hint", id: `${id}-help` }, field.help));
    controls.set(field.key, { field, input, part });
    return part;
  });

  const held = (key) => {
    const known = controls.get(key);
    if (!known || known.input.disabled) return "";
    return known.input.type === "checkbox" ? (known.input.checked ? "true" : "") : known.input.value.trim();
  };
  const settle = () => {
    for (const { field, input, part } of controls.values()) {
      const shown = field.conditions.every(({ field: key, values }) => {
        const value = held(key);
        return value !== "" && (values.length === 0 || values.includes(value));
      });
      part.hidden = !shown;
      input.disabled = !shown;
      input.required = shown && field.required;
    }
  };

  const [tokenName, token] = form.token;
  const [trapName, trapLabel] = form.trap;
  const trap = make("div", { class: "trap", "aria-hidden": "true" },
    make("label", { for: "trap" }, trapLabel),
    make("input", { id: "trap", name: trapName, type: "text", tabindex: "-1", autocomplete: "off" }));
  const said = make("p", { class: "wrong", role: "alert" });
  const send = make("button", { type: "submit" }, form.button);
  const body = make("form", { method: "post", action: form.action },
    make("input", { type: "hidden", name: tokenName, value: token }), trap, ...parts, said, send);
  shadow.append(make("h2", {}, form.title), form.text ? make("p", {}, form.text) : "", body);

  const wrong = (key, code) => {
    const known = controls.get(key);
    if (!known) return;
    const id = `field-${key}-wrong`;
    known.input.setAttribute("aria-invalid", "true");
    known.input.setAttribute("aria-describedby", [known.field.help ? `field-${key}-help` : "", id].filter(Boolean).join(" "));
    known.part.append(make("p", { class: "wrong", id }, form.says[code] ?? form.says.form_value_invalid));
  };
  const clear = () => {
    said.textContent = "";
    for (const { input, part } of controls.values()) {
      input.removeAttribute("aria-invalid");
      part.querySelector(".wrong")?.remove();
    }
  };

  body.addEventListener("input", settle);
  body.addEventListener("change", settle);
  settle();
  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    send.disabled = true;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        credentials: "omit",
        headers: { accept: "application/json" },
        body: form.fields.some(({ input }) => input === "file") ? new FormData(body) : new URLSearchParams(new FormData(body)),
      });
      if (answer.ok) {
        const thanks = make("p", { role: "status", tabindex: "-1" }, form.thanks);
        body.replaceWith(thanks);
        thanks.focus();
        return;
      }
      const problem = await answer.json();
      for (const { pointer, code } of problem.errors ?? []) wrong(pointer.replace("/values/", ""), code);
      said.textContent = problem.errors?.length ? form.says.faults : problem.detail;
      shadow.querySelector("[aria-invalid]")?.focus();
    } catch {
      said.textContent = form.says.unreachable;
    } finally {
      send.disabled = false;
    }
  });
})();
