// Writes moments and money in the language of whoever looks, moments in his time zone.

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
const day = new Intl.DateTimeFormat(page.lang, { dateStyle: "medium", timeZone: "UTC" });
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
    if (/^\d{4}-\d{2}-\d{2}$/.test(time.dateTime)) {
      // A day is the same everywhere.
      time.textContent = day.format(new Date(time.dateTime));
      continue;
    }
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = moment.format(at);
    time.textContent = "exact" in time.dataset ? time.title : since(at);
  }
}

/**
 * Writes amounts of money as they are written in the language of the page.
 * @param {ParentNode} root
 */
export function amounts(root) {
  for (const amount of root.querySelectorAll("data.money")) {
    const { value, dataset } = /** @type {HTMLDataElement} */ (amount);
    // The amount goes in as text: no digit of it is rounded.
    const format = new Intl.NumberFormat(page.lang, { style: "currency", currency: dataset.currency, maximumFractionDigits: 20 });
    amount.textContent = format.format(/** @type {any} */ (value));
  }
}
