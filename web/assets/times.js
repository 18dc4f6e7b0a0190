// Writes moments in the language and the time zone of whoever looks.

const page = document.documentElement;
const language = page.dataset.locale || page.lang;

/** @param {Intl.DateTimeFormatOptions} options */
function format(options) {
  try {
    return new Intl.DateTimeFormat(language, { ...options, timeZone: page.dataset.zone });
  } catch {
    return new Intl.DateTimeFormat(page.lang, options);
  }
}

const moment = format({ dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(page.lang, { numeric: "auto" });

/**
 * How long ago it was, as far as that says more than the date.
 * @param {Date} at
 */
function since(at) {
  const minutes = Math.round((at.getTime() - Date.now()) / 60000);
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  const hours = Math.round(minutes / 60);
  if (Math.abs(hours) < 24) return relative.format(hours, "hour");
  return moment.format(at);
}

/** @param {ParentNode} root */
export function times(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = moment.format(at);
    time.textContent = since(at);
  }
}
