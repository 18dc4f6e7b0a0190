// The page of an import.

import { reach, show } from "./api.js";
import { watch } from "./importing.js";

const { id = "", position } = /** @type {HTMLElement} */ (document.getElementById("job")).dataset;
reach(position);
watch(id).catch(show);
