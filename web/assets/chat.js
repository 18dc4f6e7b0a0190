// The chat on other people's pages: a button, a window, and one conversation that goes on over reloads, tabs and lost connections.

(() => {
  /** @typedef {{ id?: string, external_id?: string, from: "visitor" | "desk" | "bot", name?: string, body: string, at: string, position?: number, state?: string, isLocal?: boolean, files?: string[], attachments?: Attached[] }} Message */
  /** @typedef {{ name: string, media_type: string, size: number, url?: string, thumbnail?: { url: string, width: number, height: number } }} Attached */
  /** @typedef {{ greeting: string | null, name: string, color: string, text_color: string, display: string, delay_s: number | null, operators_present: boolean, chatbot: boolean, max_text: number, files: boolean, max_file_bytes: number, questions: Question[], protected: boolean }} Config */
  /** @typedef {{ key: string, type: "name" | "email" | "phone" | "text", label?: string, required?: boolean }} Question */
  /** @typedef {{ token: string, user?: string, email?: string, answers?: Record<string, string>, quiet?: boolean, pending: Message[] }} Kept */
  /** @typedef {{ message: Message, item: HTMLLIElement, day: HTMLElement, who: HTMLElement, files: HTMLElement, foot: HTMLElement }} Entry */
  /** @typedef {{ ok: boolean, status: number, body: any, after: number }} Answer */

  const script = document.currentScript ?? document.querySelector("script[data-channel][src*='chat.js']");
  if (!(script instanceof HTMLScriptElement)) return;
  const told = script.dataset;
  const channel = told.channel ?? "";
  const NAME = "deskfold-chat";
  const KEY = `${NAME}:${channel}`;
  const base = new URL(`chat/${encodeURIComponent(channel)}/`, script.src).href;
  /** Whether the chat is the page, as behind a link in a mail. */
  const isPage = told.mode === "page";

  /** The stream says every 15 seconds that it lives; without a word for so long it does not. In milliseconds. */
  const SILENCE = 40_000;
  /** The longest pause between two tries, in seconds. */
  const LONGEST = 30;
  /** How often it is said that somebody types, and how long one sees it: in milliseconds. */
  const SAYS_TYPING = 3_000;
  const SEES_TYPING = 7_000;
  /** Messages that one receipt names at most. */
  const RECEIPTS = 50;
  /** Files of a message at most. */
  const FILES = 10;

  /** @type {Record<string, Record<string, string>>} */
  const TEXTS = {
    en: {
      open: "Chat with us", close: "Close the chat", chat: "Chat", unread: "New messages: {n}", dismiss: "Dismiss",
      here: "We are here", bot: "An assistant answers", away: "Nobody is here right now",
      offline: "Nobody is here right now. Write all the same: we answer as soon as we are back.",
      email: "Your e-mail address, for our answer", wrong: "This is no e-mail address.",
      message: "Your message", write: "Write a message…", send: "Send", emoji: "Emoji", sound: "Sound", left: "Characters left: {n}",
      end: "End the chat", sure: "End this chat?", yes: "End it", no: "Go on", ended: "The chat has ended. Write again to go on with it.",
      rate: "How was it?", score: "{n} of 5", more: "Anything to add? (optional)", rated: "Thank you for telling us.", again: "Start a new chat",
      typing: "{name} is typing", somebody: "Somebody is typing", desk: "Support", assistant: "Assistant", you: "You", messages: "Messages",
      sending: "Sending", sent: "Sent", delivered: "Delivered", read: "Read", failed: "Not sent", retry: "Try again", uncertain: "Perhaps sent",
      lost: "The connection is lost. We keep trying.", busy: "That was a lot at once. The rest goes out in a moment.", person: "You are talking to a person now.", news: "New message from {name}",
      attach: "Attach files", chosen: "These files go with your message", remove: "Remove {name}", large: "{name} is larger than {n} MB.", many: "At most {n} files at once.", drop: "Drop files here",
      name: "Your name", mailed: "Your e-mail address", phone: "Your phone number", optional: "optional", needed: "Please answer this.", checking: "One moment: your browser is being checked.", choose: "Answers to choose from", copy: "Send me this chat by e-mail", copied: "This chat will be sent to {email}.", blocked: "You cannot write here any more.",
    },
    cs: {
      open: "Napište nám", close: "Zavřít chat", chat: "Chat", unread: "Nové zprávy: {n}", dismiss: "Skrýt",
      here: "Jsme tu", bot: "Odpovídá asistent", away: "Teď tu nikdo není",
      offline: "Teď tu nikdo není. Přesto napište: odpovíme, jakmile se vrátíme.",
      email: "Váš e-mail pro naši odpověď", wrong: "Tohle není e-mailová adresa.",
      message: "Vaše zpráva", write: "Napište zprávu…", send: "Odeslat", emoji: "Emoji", sound: "Zvuk", left: "Zbývá znaků: {n}",
      end: "Ukončit chat", sure: "Ukončit tento chat?", yes: "Ukončit", no: "Pokračovat", ended: "Chat skončil. Když napíšete, pokračuje.",
      rate: "Jak jste byli spokojeni?", score: "{n} z 5", more: "Chcete něco dodat? (nepovinné)", rated: "Děkujeme za hodnocení.", again: "Začít nový chat",
      typing: "{name} píše", somebody: "Někdo píše", desk: "Podpora", assistant: "Asistent", you: "Vy", messages: "Zprávy",
      sending: "Odesílá se", sent: "Odesláno", delivered: "Doručeno", read: "Přečteno", failed: "Neodesláno", retry: "Zkusit znovu", uncertain: "Snad odesláno",
      lost: "Spojení je přerušeno. Zkoušíme to dál.", busy: "Bylo toho moc najednou. Zbytek odejde za chvíli.", person: "Teď mluvíte s člověkem.", news: "Nová zpráva: {name}",
      attach: "Připojit soubory", chosen: "Tyto soubory odejdou se zprávou", remove: "Odebrat {name}", large: "{name} má víc než {n} MB.", many: "Nejvýše {n} souborů najednou.", drop: "Přetáhněte soubory sem",
      name: "Vaše jméno", mailed: "Váš e-mail", phone: "Váš telefon", optional: "nepovinné", needed: "Odpovězte prosím.", checking: "Okamžik: kontrolujeme váš prohlížeč.", choose: "Odpovědi na výběr", copy: "Poslat mi tento chat e-mailem", copied: "Tento chat pošleme na {email}.", blocked: "Sem už psát nemůžete.",
    },
    uk: {
      open: "Напишіть нам", close: "Закрити чат", chat: "Чат", unread: "Нові повідомлення: {n}", dismiss: "Сховати",
      here: "Ми на зв’язку", bot: "Відповідає помічник", away: "Зараз нікого немає",
      offline: "Зараз нікого немає. Усе одно напишіть: відповімо, щойно повернемося.",
      email: "Ваша електронна пошта для відповіді", wrong: "Це не адреса електронної пошти.",
      message: "Ваше повідомлення", write: "Напишіть…", send: "Надіслати", emoji: "Емодзі", sound: "Звук", left: "Залишилося символів: {n}",
      end: "Завершити чат", sure: "Завершити цей чат?", yes: "Завершити", no: "Продовжити", ended: "Чат завершено. Якщо напишете, він продовжиться.",
      rate: "Як вам розмова?", score: "{n} з 5", more: "Бажаєте щось додати? (необов’язково)", rated: "Дякуємо за оцінку.", again: "Почати новий чат",
      typing: "{name} пише", somebody: "Хтось пише", desk: "Підтримка", assistant: "Помічник", you: "Ви", messages: "Повідомлення",
      sending: "Надсилається", sent: "Надіслано", delivered: "Доставлено", read: "Прочитано", failed: "Не надіслано", retry: "Спробувати ще раз", uncertain: "Можливо, надіслано",
      lost: "Зв’язок утрачено. Пробуємо далі.", busy: "Забагато за раз. Решта піде за мить.", person: "Тепер ви говорите з людиною.", news: "Нове повідомлення: {name}",
      attach: "Додати файли", chosen: "Ці файли підуть із повідомленням", remove: "Прибрати {name}", large: "{name} більше за {n} МБ.", many: "Не більше {n} файлів за раз.", drop: "Перетягніть файли сюди",
      name: "Ваше ім’я", mailed: "Ваша електронна пошта", phone: "Ваш телефон", optional: "необов’язково", needed: "Дайте, будь ласка, відповідь.", checking: "Хвилинку: перевіряємо ваш браузер.", choose: "Відповіді на вибір", copy: "Надіслати мені цей чат поштою", copied: "Цей чат буде надіслано на {email}.", blocked: "Ви більше не можете тут писати.",
    },
    ru: {
      open: "Напишите нам", close: "Закрыть чат", chat: "Чат", unread: "Новые сообщения: {n}", dismiss: "Скрыть",
      here: "Мы на связи", bot: "Отвечает помощник", away: "Сейчас никого нет",
      offline: "Сейчас никого нет. Всё равно напишите: ответим, как только вернёмся.",
      email: "Ваша электронная почта для ответа", wrong: "Это не адрес электронной почты.",
      message: "Ваше сообщение", write: "Напишите…", send: "Отправить", emoji: "Эмодзи", sound: "Звук", left: "Осталось символов: {n}",
      end: "Завершить чат", sure: "Завершить этот чат?", yes: "Завершить", no: "Продолжить", ended: "Чат завершён. Если напишете, он продолжится.",
      rate: "Как вам разговор?", score: "{n} из 5", more: "Хотите что-нибудь добавить? (необязательно)", rated: "Спасибо за оценку.", again: "Начать новый чат",
      typing: "{name} печатает", somebody: "Кто-то печатает", desk: "Поддержка", assistant: "Помощник", you: "Вы", messages: "Сообщения",
      sending: "Отправляется", sent: "Отправлено", delivered: "Доставлено", read: "Прочитано", failed: "Не отправлено", retry: "Попробовать ещё раз", uncertain: "Возможно, отправлено",
      lost: "Связь потеряна. Пробуем дальше.", busy: "Слишком много сразу. Остальное уйдёт через мгновение.", person: "Теперь вы говорите с человеком.", news: "Новое сообщение: {name}",
      attach: "Прикрепить файлы", chosen: "Эти файлы уйдут с сообщением", remove: "Убрать {name}", large: "{name} больше {n} МБ.", many: "Не больше {n} файлов за раз.", drop: "Перетащите файлы сюда",
      name: "Ваше имя", mailed: "Ваша электронная почта", phone: "Ваш телефон", optional: "необязательно", needed: "Ответьте, пожалуйста.", checking: "Минутку: проверяем ваш браузер.", choose: "Ответы на выбор", copy: "Отправить мне этот чат по почте", copied: "Этот чат будет отправлен на {email}.", blocked: "Вы больше не можете здесь писать.",
    },
    lt: {
      open: "Parašykite mums", close: "Užverti pokalbį", chat: "Pokalbis", unread: "Naujos žinutės: {n}", dismiss: "Slėpti",
      here: "Mes čia", bot: "Atsako pagalbininkas", away: "Šiuo metu nieko nėra",
      offline: "Šiuo metu nieko nėra. Vis tiek parašykite: atsakysime, kai tik grįšime.",
      email: "Jūsų el. paštas atsakymui", wrong: "Tai nėra el. pašto adresas.",
      message: "Jūsų žinutė", write: "Parašykite žinutę…", send: "Siųsti", emoji: "Jaustukai", sound: "Garsas", left: "Liko ženklų: {n}",
      end: "Baigti pokalbį", sure: "Baigti šį pokalbį?", yes: "Baigti", no: "Tęsti", ended: "Pokalbis baigtas. Jei parašysite, jis tęsis.",
      rate: "Kaip sekėsi?", score: "{n} iš 5", more: "Norite ką nors pridurti? (neprivaloma)", rated: "Ačiū už įvertinimą.", again: "Pradėti naują pokalbį",
      typing: "{name} rašo", somebody: "Kažkas rašo", desk: "Pagalba", assistant: "Pagalbininkas", you: "Jūs", messages: "Žinutės",
      sending: "Siunčiama", sent: "Išsiųsta", delivered: "Pristatyta", read: "Perskaityta", failed: "Neišsiųsta", retry: "Bandyti dar kartą", uncertain: "Galbūt išsiųsta",
      lost: "Ryšys nutrūko. Bandome toliau.", busy: "Per daug iš karto. Likusi dalis išeis netrukus.", person: "Dabar kalbate su žmogumi.", news: "Nauja žinutė: {name}",
      attach: "Pridėti failų", chosen: "Šie failai bus išsiųsti su žinute", remove: "Pašalinti {name}", large: "{name} didesnis nei {n} MB.", many: "Daugiausia {n} failų iš karto.", drop: "Numeskite failus čia",
      name: "Jūsų vardas", mailed: "Jūsų el. paštas", phone: "Jūsų telefonas", optional: "neprivaloma", needed: "Prašome atsakyti.", checking: "Akimirką: tikrinama jūsų naršyklė.", choose: "Atsakymai pasirinkti", copy: "Atsiųsti man šį pokalbį el. paštu", copied: "Šis pokalbis bus išsiųstas adresu {email}.", blocked: "Čia rašyti nebegalite.",
    },
  };
  /** Languages that are written from right to left. */
  const RIGHT_TO_LEFT = ["ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"];
  const EMOJI = "😀 😂 😊 😍 😎 😉 🙂 🙃 😅 😢 😭 😡 🤔 😴 🤗 😱 👍 👎 👏 🙏 👋 💪 🤝 👌 ❤️ 💔 🎉 🎁 🔥 ⭐ ✅ ❌ ❓ ❗ 💡 📎 📞 📷 🛒 🏠".split(" ");

  const wanted = told.language || document.documentElement.lang || navigator.language || "en";
  const primary = (wanted.split(/[-_]/)[0] ?? "").toLowerCase();
  const language = primary in TEXTS ? primary : "en";
  const direction = RIGHT_TO_LEFT.includes(primary) ? "rtl" : "ltr";
  /** @param {string} name @param {Record<string, string | number>} [values] */
  const say = (name, values = {}) => (TEXTS[language]?.[name] ?? name).replace(/\{(\w+)\}/g, (_, value) => String(values[value] ?? ""));

  // What is remembered: nothing before the first message.

  /** What this tab knows of it. @type {Kept | null} */
  let mine = null;
  /** Whether the browser keeps things: where it does not, the tab's own memory has to do. */
  let isKeeping = true;
  const kept = () => {
    try {
      if (isKeeping) mine = JSON.parse(localStorage.getItem(KEY) ?? "null");
    } catch {
      isKeeping = false;
    }
    return mine;
  };
  /** @param {Kept | null} now */
  const store = (now) => {
    mine = now;
    try {
      if (now) localStorage.setItem(KEY, JSON.stringify(now));
      else {
        localStorage.removeItem(KEY);
        sessionStorage.removeItem(KEY);
      }
    } catch {
      isKeeping = false;
    }
  };
  /** Changes what is remembered, if anything is. @param {(now: Kept) => void} change */
  const keep = (change) => {
    const now = kept();
    if (!now) return;
    change(now);
    store(now);
  };
  /** Remembers, within this tab, whether the window is open: it goes on to the next page so. @param {boolean} isOpen */
  const keepOpen = (isOpen) => {
    try {
      if (mine && isOpen) sessionStorage.setItem(KEY, "open");
      else if (mine) sessionStorage.removeItem(KEY);
    } catch {
      // It is opened by hand, then.
    }
  };
  const wasOpen = () => {
    try {
      return sessionStorage.getItem(KEY) !== null;
    } catch {
      return false;
    }
  };
  /** @param {number} length */
  const random = (length) => crypto.getRandomValues(new Uint8Array(length));
  /** Begins to remember something, if there is nothing yet. @param {Record<string, string>} answers */
  const begun = (answers) => {
    if (!kept()) store({ token: newToken(), user: told.user || undefined, quiet: isQuiet(), pending: [], answers });
  };
  const newToken = () => `dfv_${btoa(String.fromCharCode(...random(32))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
  /** `crypto.randomUUID` is only there on pages that came by HTTPS. */
  const uuid = () => {
    const bytes = [...random(16)].map((byte, at) => (at === 6 ? (byte & 0x0f) | 0x40 : at === 8 ? (byte & 0x3f) | 0x80 : byte));
    return bytes.map((byte, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + byte.toString(16).padStart(2, "0")).join("");
  };

  // Asking.

  /**
   * What the server answers; `null` where it cannot be reached.
   * @param {string} method @param {string} path @param {object} [body] what is no file goes as JSON @param {boolean} [last] whether the page is about to go
   * @returns {Promise<Answer | null>}
   */
  const ask = async (method, path, body, last = false) => {
    /** @type {Record<string, string>} */
    const headers = {};
    const token = mine?.token;
    if (token) headers.authorization = `Bearer ${token}`;
    const isFile = body instanceof Blob;
    if (body) headers["content-type"] = isFile ? body.type || "application/octet-stream" : "application/json";
    try {
      const request = { method, headers, body: isFile ? body : body && JSON.stringify(body), keepalive: last, credentials: /** @type {const} */ ("omit"), cache: /** @type {const} */ ("no-store") };
      const answer = await fetch(base + path, request);
      const text = await answer.text();
      return { ok: answer.ok, status: answer.status, body: text ? JSON.parse(text) : null, after: Number(answer.headers.get("retry-after")) || 0 };
    } catch {
      return null;
    }
  };
  /** Whether a request may succeed when it is made once more. @param {Answer | null} answer */
  const comesAgain = (answer) => !answer || answer.status >= 500 || [408, 425, 429].includes(answer.status);
  /** Whether the token is good for nothing. @param {Answer | null} answer */
  const isUnknown = (answer) => answer?.status === 401 || answer?.body?.code === "visitor_unknown";

  /** @type {Set<() => void>} */
  const sleepers = new Set();
  /** Waits for so many seconds, or until the network is back. @param {number} seconds */
  const pause = (seconds) =>
    new Promise((/** @type {(value?: unknown) => void} */ done) => {
      const wake = () => {
        clearTimeout(timer);
        sleepers.delete(wake);
        done();
      };
      const timer = setTimeout(wake, seconds * 1000);
      sleepers.add(wake);
    });
  const wakeUp = () => [...sleepers].forEach((wake) => wake());

  // What one sees.

  /**
   * @template {keyof HTMLElementTagNameMap} K
   * @param {K} name @param {Record<string, string | number | boolean | ((event: any) => void)>} [attributes] @param {(Node | string)[]} children
   */
  const el = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(key, value);
      else if (value !== false) made.setAttribute(key, value === true ? "" : String(value));
    }
    made.append(...children);
    return made;
  };
  /** @param {...string} paths */
  const icon = (...paths) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    for (const d of paths) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  };
  const CROSS = "M6 6l12 12M18 6L6 18";

  const STYLE = `
    :host { all: initial !important; display: block !important; color-scheme: inherit !important; }
    :host([data-theme="light"]) { color-scheme: light !important; }
    :host([data-theme="dark"]) { color-scheme: dark !important; }
    @media print { :host { display: none !important; } }
    *, ::before, ::after { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .all {
      --paper: light-dark(#fff, #1b1f22); --ink: light-dark(#1b1e20, #e9ecee); --soft: light-dark(#555d63, #adb6bd); --theirs: light-dark(#eef0f2, #2b3136);
      --line: light-dark(#dcdfe2, #3a4248); --edge: light-dark(#7b838a, #7d878f); --danger: light-dark(#a8201a, #ffb0a8); --good: light-dark(#1a7f37, #57c271);
      --edged: color-mix(in srgb, var(--on) 22%, var(--color));
      font: 16px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; color: var(--ink); text-align: start;
    }
    .float { position: fixed; inset-block-end: max(20px, env(safe-area-inset-bottom)); inset-inline-end: 20px; z-index: 2147483000; display: flex; flex-direction: column; align-items: flex-end; gap: 12px; pointer-events: none; }
    .float > * { pointer-events: auto; }
    p, h2, ol { margin: 0; padding: 0; }
    ol { list-style: none; }
    button { font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0; cursor: pointer; }
    svg { width: 22px; height: 22px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; display: block; }
    :focus-visible { outline: 3px solid light-dark(#0b57d0, #a8c7fa); outline-offset: 2px; }
    :is(input, textarea):focus-visible { outline-width: 2px; outline-offset: -1px; }
    .launch { position: relative; width: 60px; height: 60px; border-radius: 50%; display: grid; place-items: center; background: var(--color); color: var(--on); border: 1px solid var(--edged); box-shadow: 0 4px 16px rgb(0 0 0 / 25%); transition: transform 0.15s; }
    .launch:hover { transform: scale(1.05); }
    .launch svg { width: 28px; height: 28px; }
    .count { position: absolute; inset-block-start: -4px; inset-inline-end: -4px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px; background: #b3261e; color: #fff; font-size: 13px; font-weight: 700; line-height: 22px; text-align: center; }
    .bubble { position: relative; max-width: min(280px, calc(100vw - 40px)); }
    .greet { display: block; padding: 12px 16px; border-radius: 16px; border-end-end-radius: 4px; background: var(--paper); border: 1px solid var(--line); box-shadow: 0 4px 16px rgb(0 0 0 / 18%); text-align: start; overflow-wrap: anywhere; }
    .bubble .cross { position: absolute; inset-block-start: -12px; inset-inline-start: -12px; width: 28px; height: 28px; border-radius: 50%; display: grid; place-items: center; background: var(--paper); border: 1px solid var(--edge); color: var(--soft); }
    .bubble svg { width: 14px; height: 14px; }
    .panel { display: none; color: inherit; background: var(--paper); flex-direction: column; overflow: hidden; padding: 0; margin: 0; border: 1px solid var(--line); }
    .panel[open], section.panel { display: flex; }
    .float .panel { position: relative; width: 380px; max-width: calc(100vw - 40px); height: min(620px, calc(100dvh - 40px)); max-height: none; border-radius: 16px; box-shadow: 0 8px 40px rgb(0 0 0 / 28%); }
    section.panel { height: min(44rem, calc(100dvh - 10rem)); min-height: 22rem; border-radius: 12px; }
    .float .panel.full { position: fixed; inset: 0; width: 100%; max-width: none; height: 100dvh; border: 0; border-radius: 0; }
    .panel.full::backdrop { background: none; }
    .head { display: flex; align-items: center; gap: 4px; padding: 12px; padding-inline: 16px 8px; background: var(--color); color: var(--on); border-block-end: 1px solid var(--edged); }
    .title { flex: 1; min-width: 0; }
    h2 { font-size: 17px; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere; }
    .presence { display: flex; align-items: center; gap: 6px; font-size: 14px; }
    .presence::before { content: ""; width: 9px; height: 9px; border-radius: 50%; border: 2px solid currentColor; }
    .presence.here::before { background: currentColor; }
    .tool { flex: none; width: 40px; height: 40px; border-radius: 10px; display: grid; place-items: center; }
    .tool:hover { background: color-mix(in srgb, currentColor 14%, transparent); }
    .head :focus-visible { outline-color: currentColor; outline-offset: -3px; }
    .log { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 12px 14px; scrollbar-width: thin; }
    .log:focus-visible { outline-offset: -3px; }
    li { display: flex; flex-direction: column; align-items: flex-start; margin-block-start: 3px; }
    li.first { margin-block-start: 12px; }
    li.own { align-items: flex-end; }
    .day { align-self: center; margin: 6px 0 10px; font-size: 13px; color: var(--soft); }
    .who, .foot { font-size: 13px; color: var(--soft); margin: 0 6px 2px; }
    .foot { margin: 2px 6px 0; }
    .foot button, .link { color: inherit; text-decoration: underline; text-underline-offset: 2px; min-height: 24px; }
    .failed .foot { color: var(--danger); }
    .body { max-width: 84%; padding: 9px 13px; border-radius: 16px; background: var(--theirs); white-space: pre-wrap; overflow-wrap: anywhere; }
    li:not(.own) .body { border-end-start-radius: 5px; }
    .own .body { background: var(--color); color: var(--on); border: 1px solid var(--edged); border-end-end-radius: 5px; }
    .body a { color: inherit; text-underline-offset: 2px; }
    .note { align-items: center; }
    .note p { font-size: 14px; color: var(--soft); padding: 4px 12px; text-align: center; }
    .typing { display: flex; align-items: center; gap: 8px; padding: 0 18px 8px; font-size: 14px; color: var(--soft); }
    .dots { display: flex; gap: 4px; }
    .dots i { width: 7px; height: 7px; border-radius: 50%; background: currentColor; animation: dot 1.2s infinite; }
    .dots i:nth-child(2) { animation-delay: 0.2s; }
    .dots i:nth-child(3) { animation-delay: 0.4s; }
    @keyframes dot { 0%, 60%, 100% { opacity: 0.3; transform: none; } 30% { opacity: 1; transform: translateY(-3px); } }
    @media (prefers-reduced-motion: reduce) { *, ::before { animation: none !important; transition: none !important; } }
    .notice { padding: 8px 16px; font-size: 14px; background: var(--theirs); border-block-start: 1px solid var(--line); }
    .asked { padding: 12px 16px; border-block-start: 1px solid var(--line); display: flex; flex-wrap: wrap; align-items: center; gap: 8px 12px; }
    .asked { max-height: 60%; overflow-y: auto; }
    .asked p, .asked form { flex-basis: 100%; }
    .rate { display: grid; gap: 6px; justify-items: start; }
    .rate .act { margin-block-start: 4px; }
    .act { min-height: 40px; padding: 6px 18px; border-radius: 20px; font-weight: 600; background: var(--color); color: var(--on); border: 1px solid var(--edged); }
    .act.other { background: none; color: inherit; border-color: var(--edge); }
    fieldset { border: 0; padding: 0; margin: 0; min-width: 0; }
    legend { padding: 0; font-weight: 650; }
    .stars { display: flex; gap: 2px; margin-inline-start: -7px; }
    .stars label { position: relative; width: 44px; height: 44px; display: grid; place-items: center; color: var(--edge); cursor: pointer; }
    .stars input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: pointer; }
    .stars svg { width: 30px; height: 30px; stroke-width: 1.5; }
    .stars label:has(input:focus-visible) { outline: 3px solid light-dark(#0b57d0, #a8c7fa); border-radius: 8px; }
    .stars label:has(~ label input:checked), .stars label:has(input:checked) { color: light-dark(#9a6700, #f2c14e); }
    .stars label:has(~ label input:checked) svg, .stars label:has(input:checked) svg { fill: currentColor; }
    .mail { padding: 10px 16px 4px; border-block-start: 1px solid var(--line); font-size: 14px; }
    .pre { max-height: min(46dvh, 21rem); overflow-y: auto; display: grid; gap: 4px; padding-block-end: 10px; }
    .pre small { font-weight: 400; color: var(--soft); }
    .offered { display: flex; flex-wrap: wrap; gap: 8px; padding: 10px 16px 4px; max-height: 160px; overflow-y: auto; }
    .offered button { min-height: 40px; padding: 6px 16px; border-radius: 20px; border: 1px solid var(--edge); text-align: start; overflow-wrap: anywhere; }
    .offered button:hover { background: var(--theirs); }
    .copy .line { display: flex; gap: 8px; }
    .copy input { flex: 1; min-width: 0; }
    :disabled { opacity: 0.5; cursor: default; }
    .mail label, .asked label { display: block; margin-block: 6px 3px; font-weight: 550; }
    input:is([type="email"], [type="text"], [type="tel"]), textarea { display: block; width: 100%; font: inherit; font-size: 16px; color: inherit; background: var(--paper); border: 1px solid var(--edge); border-radius: 10px; padding: 8px 11px; margin: 0; }
    .asked label { font-size: 14px; margin: 0; }
    .asked textarea { max-height: 120px; resize: none; }
    [aria-invalid="true"] { border-color: var(--danger) !important; }
    .wrong { color: var(--danger); margin-block-start: 3px; }
    .row { display: flex; align-items: flex-end; gap: 6px; padding: 10px 12px; border-block-start: 1px solid var(--line); }
    .tray + .row { border: 0; }
    .row textarea { flex: 1; min-width: 0; max-height: 132px; min-height: 44px; resize: none; border-radius: 22px; padding: 10px 16px; scrollbar-width: none; }
    textarea::placeholder { white-space: nowrap; color: var(--soft); opacity: 1; }
    .row button { flex: none; width: 44px; height: 44px; border-radius: 50%; display: grid; place-items: center; color: var(--soft); }
    .row button:hover { background: var(--theirs); }
    .row .send { background: var(--color); color: var(--on); border: 1px solid var(--edged); }
    .row .send:hover { background: var(--color); filter: brightness(1.08); }
    [dir="rtl"] :is(p, h2, label, legend) { unicode-bidi: plaintext; text-align: right; }
    :dir(rtl) > .send svg { transform: scaleX(-1); }
    .left { padding: 0 24px 8px; font-size: 13px; color: var(--soft); text-align: end; }
    .faces { display: grid; grid-template-columns: repeat(8, 1fr); gap: 2px; padding: 8px 10px; border-block-start: 1px solid var(--line); }
    .faces button { height: 40px; border-radius: 8px; font-size: 22px; line-height: 1; }
    .faces button:hover { background: var(--theirs); }
    .tray { padding: 10px 16px 0; border-block-start: 1px solid var(--line); font-size: 14px; max-height: 188px; overflow-y: auto; }
    .tray ul, .files { list-style: none; margin: 0; padding: 0; }
    .tray li { flex-direction: row; align-items: center; gap: 10px; margin-block-start: 6px; }
    .tray canvas, .tray .kind { flex: none; width: 40px; height: 40px; border-radius: 8px; background: var(--theirs); display: grid; place-items: center; color: var(--soft); }
    .tray button { flex: none; width: 36px; height: 36px; border-radius: 50%; display: grid; place-items: center; color: var(--soft); }
    .tray button:hover { background: var(--theirs); }
    .tray svg { width: 18px; height: 18px; }
    .named { flex: 1; min-width: 0; overflow-wrap: anywhere; }
    .named small { display: block; font-size: 13px; color: var(--soft); }
    .files > li { margin: 0; max-width: 100%; }
    .files { display: flex; flex-direction: column; align-items: inherit; gap: 4px; max-width: 84%; margin-block-end: 3px; }
    .file { display: flex; align-items: center; gap: 10px; padding: 8px 14px 8px 10px; border-radius: 14px; border: 1px solid var(--line); color: inherit; text-decoration: none; text-align: start; }
    a.file:hover { background: var(--theirs); }
    .file svg { flex: none; color: var(--soft); }
    .shown { display: block; border-radius: 14px; overflow: hidden; border: 1px solid var(--line); background: var(--theirs); }
    .shown img { display: block; max-width: 100%; height: auto; max-height: 220px; object-fit: contain; }
    .over { position: absolute; inset: 0; display: grid; place-items: center; background: color-mix(in srgb, var(--paper) 88%, transparent); border: 3px dashed var(--edge); border-radius: inherit; font-weight: 600; pointer-events: none; }
    .panel { position: relative; }
    .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    @media (forced-colors: active) { .launch, .act, .own .body, .send { border: 1px solid ButtonText; } }
  `;

  const host = document.createElement(NAME);
  if (told.theme) host.dataset.theme = told.theme;
  const root = host.attachShadow({ mode: "open" });
  const colours = new CSSStyleSheet();
  const style = new CSSStyleSheet();
  style.replaceSync(STYLE);
  root.adoptedStyleSheets = [style, colours];

  /** @type {Config} */
  let config = { greeting: null, name: "", color: "#1d4ed8", text_color: "#ffffff", display: "hide", delay_s: null, operators_present: false, chatbot: false, max_text: 0, files: false, max_file_bytes: 0, questions: [], protected: false };
  let isOpen = isPage;
  /** @type {"open" | "closed"} */
  let status = "open";
  /** @type {number | null} */
  let rating = null;
  let isBlocked = false;
  /** The answers that the assistant offers. @type {string[]} */
  let choices = [];
  /** Where the chat is sent to by mail. */
  let copied = "";

  const badge = el("span", { class: "count", "aria-hidden": "true", hidden: true });
  const launch = el("button", { class: "launch", type: "button", "aria-haspopup": "dialog", hidden: isPage, click: () => open(true) }, icon("M21 11.5a8.4 8.4 0 0 1-12.2 7.5L3 21l2-5.8A8.4 8.4 0 1 1 21 11.5z"), badge);
  const greet = el("button", { class: "greet", type: "button", dir: "auto", click: () => open(true) });
  const bubble = el("div", { class: "bubble", hidden: true }, greet, el("button", { class: "cross", type: "button", "aria-label": say("dismiss"), click: () => dismiss() }, icon(CROSS)));
  const title = el("h2", { id: "title", dir: "auto", hidden: isPage });
  const presence = el("p", { class: "presence" });
  const sound = el("button", { class: "tool sound", type: "button", "aria-label": say("sound"), title: say("sound"), click: () => hush() });
  const end = el("button", { class: "tool end", type: "button", "aria-label": say("end"), title: say("end"), hidden: true, click: () => sure(true) }, icon("M15 4h3a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-3M10 17l-5-5 5-5M5 12h11"));
  const shut = el("button", { class: "tool shut", type: "button", "aria-label": say("close"), title: say("close"), hidden: isPage, click: () => close() }, icon(CROSS));
  const list = el("ol");
  const log = el("div", { class: "log", role: "log", tabindex: 0, "aria-label": say("messages") }, list);
  const typing = el("p", { class: "typing", hidden: true });
  const notice = el("p", { class: "notice", role: "status", hidden: true });
  const asked = el("div", { class: "asked", hidden: true });
  const email = el("input", { id: "email", type: "email", autocomplete: "email", maxlength: 254, "aria-describedby": "wrong" });
  const wrong = el("p", { class: "wrong", id: "wrong", role: "alert" });
  const emailLabel = el("label", { for: "email" }, say("email"));
  const mail = el("div", { class: "mail", hidden: true }, el("p", {}, say("offline")), emailLabel, email, wrong);
  const pre = el("div", { class: "mail pre", hidden: true });
  const offered = el("div", { class: "offered", role: "group", "aria-label": say("choose"), hidden: true });
  const faces = el("div", { class: "faces", role: "group", "aria-label": say("emoji"), hidden: true });
  const face = el("button", { class: "face", type: "button", "aria-label": say("emoji"), title: say("emoji"), "aria-expanded": "false", click: () => showFaces(faces.hidden) }, icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M8.5 14.5a4.5 4.5 0 0 0 7 0", "M9 9.5h.01M15 9.5h.01"));
  const text = el("textarea", { class: "text", rows: 1, dir: "auto", "aria-label": say("message"), placeholder: say("write") });
  const send = el("button", { class: "send", type: "submit", "aria-label": say("send"), title: say("send") }, icon("M4 12l16-8-6 16-3-7z", "M11 13l9-9"));
  const left = el("p", { class: "left", role: "status", hidden: true });
  const CLIP = "M20 11.5l-8.2 8.2a5 5 0 0 1-7.1-7.1l8.3-8.3a3.3 3.3 0 0 1 4.7 4.7l-8.3 8.3a1.7 1.7 0 0 1-2.4-2.4l7.6-7.6";
  const PAPER = "M14 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V8z";
  const picker = el("input", { class: "picker", type: "file", multiple: true, hidden: true, tabindex: -1, change: () => { choose([...(picker.files ?? [])]); picker.value = ""; } });
  const clip = el("button", { class: "clip", type: "button", "aria-label": say("attach"), title: say("attach"), hidden: true, click: () => picker.click() }, icon(CLIP));
  const chosenList = el("ul", { "aria-labelledby": "chosen" });
  const tray = el("div", { class: "tray", hidden: true }, el("p", { id: "chosen" }, say("chosen")), chosenList);
  const over = el("div", { class: "over", "aria-hidden": "true", hidden: true }, say("drop"));
  const row = el("div", { class: "row" }, clip, face, text, send, picker);
  const form = el("form", { novalidate: true, submit: (/** @type {SubmitEvent} */ event) => { event.preventDefault(); submit(); } }, faces, mail, pre, offered, tray, row, left);
  const head = el("div", { class: "head" }, el("div", { class: "title" }, title, presence), sound, end, shut);
  const panel = el(isPage ? "section" : "dialog", { class: "panel", ...(isPage ? { "aria-label": say("chat") } : { "aria-labelledby": "title" }) }, head, log, typing, notice, asked, form, over);
  const spoken = el("p", { class: "unseen", role: "status" });
  const all = el("div", { class: isPage ? "all" : "all float", lang: language, dir: direction, ...(isPage ? {} : { role: "region", "aria-label": say("chat") }) }, bubble, panel, launch, spoken);
  root.append(all);

  // The page's own keys are not for what is typed here.
  for (const kind of ["keydown", "keyup", "keypress"]) all.addEventListener(kind, (event) => event.stopPropagation());
  all.addEventListener("keydown", (event) => {
    if (!(event instanceof KeyboardEvent) || event.key !== "Escape" || event.isComposing) return;
    if (!faces.hidden) showFaces(false);
    else if (!isPage && isOpen) close();
    else if (!bubble.hidden) dismiss();
    else return;
    event.preventDefault();
  });

  // The way back of a telephone closes what fills its screen.
  panel.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });

  const phone = matchMedia("(max-width: 480px)");
  const isShown = () => isOpen && document.visibilityState === "visible" && host.isConnected;

  /** @param {boolean} asked whether somebody asked for it, and is not to be torn away from what he does */
  function open(asked) {
    if (isPage || isOpen) return;
    isOpen = true;
    keepOpen(true);
    bubble.hidden = true;
    launch.hidden = true;
    fit();
    if (panel instanceof HTMLDialogElement) {
      // Unlike `show`, the attribute leaves the focus where it is. What fills the screen has the page behind it out of reach.
      if (phone.matches) panel.showModal();
      else panel.open = true;
    }
    if (asked) (phone.matches ? shut : pre.querySelector("input") && !pre.hidden ? /** @type {HTMLElement} */ (pre.querySelector("input")) : text).focus();
    scroll();
    seen();
    if (!mine) refresh();
  }

  function close() {
    if (!isOpen) return;
    const had = root.activeElement;
    isOpen = false;
    isDismissed = true;
    keepOpen(false);
    showFaces(false);
    if (panel instanceof HTMLDialogElement) panel.close();
    launch.hidden = false;
    if (had) launch.focus();
  }

  function fit() {
    const full = !isPage && phone.matches;
    panel.classList.toggle("full", full);
    // A keyboard on the screen covers a part of it.
    panel.style.height = full && window.visualViewport ? `${Math.round(window.visualViewport.height)}px` : "";
  }
  window.visualViewport?.addEventListener("resize", fit);
  phone.addEventListener("change", () => {
    fit();
    if (!(panel instanceof HTMLDialogElement) || !isOpen) return;
    panel.close();
    if (phone.matches) panel.showModal();
    else panel.open = true;
  });

  let isDismissed = false;
  function dismiss() {
    isDismissed = true;
    bubble.hidden = true;
    launch.focus();
  }

  function showPresence() {
    const name = config.operators_present ? "here" : config.chatbot ? "bot" : "away";
    presence.textContent = say(name);
    presence.classList.toggle("here", name !== "away");
    const isAsked = config.questions.some(({ type }) => type === "email");
    mail.hidden = name !== "away" || status === "closed" || Boolean(mine && (mine.email || isAsked));
    emailLabel.hidden = email.hidden = isAsked;
    showQuestions();
  }

  // Questions before the first message.

  /** @type {Map<string, { input: HTMLInputElement, wrong: HTMLElement, required: boolean }>} */
  const fields = new Map();
  const KINDS = { name: ["text", "name", "name"], email: ["email", "email", "mailed"], phone: ["tel", "tel", "phone"], text: ["text", "off", ""] };

  function showQuestions() {
    const asks = JSON.stringify(config.questions);
    if ((pre.dataset.asks ?? "[]") !== asks) {
      pre.dataset.asks = asks;
      fields.clear();
      const made = config.questions.map(({ key, type, label, required }) => {
        const [kind = "text", fills = "off", word = ""] = KINDS[type] ?? KINDS.text;
        const id = `ask-${key}`;
        const wrong = el("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
        const input = el("input", { id, type: kind, autocomplete: fills, maxlength: type === "email" ? 254 : 1000, dir: "auto", "aria-required": String(Boolean(required)), "aria-describedby": wrong.id, input: () => fault(key, "") });
        if (type === "name") input.value = told.name ?? "";
        fields.set(key, { input, wrong, required: Boolean(required) });
        return el("div", {}, el("label", { for: id }, el("span", { dir: "auto" }, label || say(word)), ...(required ? [] : [el("small", {}, ` (${say("optional")})`)])), input, wrong);
      });
      pre.replaceChildren(...made);
    }
    pre.hidden = Boolean(mine) || !config.questions.length;
  }

  /** Says what is wrong with an answer; nothing where nothing is. @param {string} key @param {string} what */
  function fault(key, what) {
    const field = fields.get(key);
    if (!field) return;
    field.wrong.textContent = what;
    field.input.setAttribute("aria-invalid", String(Boolean(what)));
  }

  /** What was answered; `null` where something must be answered first, or otherwise. @returns {Record<string, string> | null} */
  function answers() {
    /** @type {Record<string, string>} */
    const said = {};
    if (pre.hidden) return said;
    /** @type {HTMLInputElement | undefined} */
    let first;
    for (const [key, { input, required }] of fields) {
      const words = input.value.trim();
      const what = !words && required ? say("needed") : words && !input.checkValidity() ? say("wrong") : "";
      fault(key, what);
      if (what) first ??= input;
      if (words) said[key] = words;
    }
    first?.focus();
    return first ? null : said;
  }

  /** What the server says is wrong with the answers; whether it says any such thing. @param {Answer | null} answer */
  function refused(answer) {
    const places = (answer?.body?.errors ?? []).filter((/** @type {any} */ error) => error.pointer?.startsWith("/answers/"));
    for (const { pointer, code, detail } of places) fault(pointer.slice(9), code === "email_invalid" ? say("wrong") : code === "channel_answer_missing" ? say("needed") : detail);
    return places.length > 0;
  }

  // Answers that the assistant offers.

  /** @param {string[]} now */
  function offer(now) {
    choices = now;
    const atEnd = isAtEnd();
    // What hangs on the question as a list for those who have no buttons is not said twice.
    const list = choices.map((choice, at) => `\n${at + 1}. ${choice}`).join("");
    const asking = entries.findLast(({ message }) => message.from === "bot");
    const body = asking?.item.querySelector(".body");
    if (list && asking && body && asking.message.body.endsWith(list)) body.textContent = asking.message.body.slice(0, -list.length);
    offered.replaceChildren(...choices.map((choice) => el("button", { type: "button", dir: "auto", click: () => choose_one(choice) }, choice)));
    offered.hidden = !choices.length || status === "closed" || isBlocked;
    if (atEnd) scroll();
  }
  /** @param {string} choice */
  function choose_one(choice) {
    offer([]);
    say_it(choice);
  }

  function showTools() {
    end.hidden = !mine || !entries.some(({ message }) => message.id) || status === "closed";
    sound.setAttribute("aria-pressed", String(!isQuiet()));
    sound.replaceChildren(isQuiet() ? icon("M11 5L6 9H3v6h3l5 4z", "M22 9l-6 6M16 9l6 6") : icon("M11 5L6 9H3v6h3l5 4z", "M15.5 8.5a5 5 0 0 1 0 7M18.5 5.5a9 9 0 0 1 0 13"));
  }

  // Messages.

  /** All there are, as they follow each other. @type {Entry[]} */
  const entries = [];
  /** Those of the desk that nobody has seen. @type {Set<string>} */
  const unseen = new Set();
  const RANKS = ["queued", "sent", "delivered", "read"];

  /** Text with its links made such. @param {HTMLElement} into @param {string} body */
  function write(into, body) {
    let at = 0;
    for (const match of body.matchAll(/\bhttps?:\/\/[^\s<>"']+/gi)) {
      const address = match[0].replace(/[.,;:!?)\]}»”’]+$/, "");
      if (!URL.canParse(address)) continue;
      into.append(body.slice(at, match.index), el("a", { href: new URL(address).href, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
      at = match.index + address.length;
    }
    into.append(body.slice(at));
  }

  /** @param {Message} message */
  const sender = ({ from, name }) => (from === "visitor" ? say("you") : name || say(from === "bot" ? "assistant" : "desk"));
  /** Whether one stands after another: what waits to be sent stands last. @param {Message} one @param {Message} other */
  const isAfter = (one, other) => {
    if (one.isLocal !== other.isLocal) return Boolean(one.isLocal);
    // Without the Z at its end a time that is told more exactly sorts right.
    const [at, otherAt] = [one.at.slice(0, -1), other.at.slice(0, -1)];
    return at === otherAt ? (one.position ?? 0) > (other.position ?? 0) : at > otherAt;
  };

  /** Takes a message in, whichever way it came: each once. @param {Message} message */
  function take(message) {
    const known = entries.find((entry) => (message.id && entry.message.id === message.id) || (message.external_id && entry.message.external_id === message.external_id));
    if (known) {
      const { state } = known.message;
      Object.assign(known.message, message);
      if (message.id && state === "failed" && message.state === undefined) known.message.state = undefined;
      advance(known, state);
      showFiles(known);
    }
    const entry = known ?? make({ ...message });
    place(entry);
    arrange();
    return !known;
  }

  /** States only go on. @param {Entry} entry @param {string | undefined} state */
  function advance({ message }, state) {
    if (state && RANKS.indexOf(state) > RANKS.indexOf(message.state ?? "")) message.state = state;
  }

  /** @param {Message} message @returns {Entry} */
  function make(message) {
    const [day, who, foot] = [el("p", { class: "day" }), el("p", { class: "who" }), el("p", { class: "foot" })];
    const body = el("div", { class: "body", dir: "auto" });
    write(body, message.body);
    body.hidden = !message.body;
    const files = el("ul", { class: "files", hidden: true });
    const item = el("li", { class: message.from === "visitor" ? "own" : "other" }, day, who, files, body, foot);
    const entry = { message, item, day, who, files, foot };
    showFiles(entry);
    return entry;
  }

  /** @param {number} bytes */
  const size = (bytes) => {
    const [amount, unit] = bytes < 1e3 ? [bytes, "byte"] : bytes < 1e6 ? [bytes / 1e3, "kilobyte"] : [bytes / 1e6, "megabyte"];
    return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: unit === "byte" ? "long" : "short", maximumFractionDigits: amount < 10 ? 1 : 0 }).format(amount);
  };
  /** @param {{ name: string, size: number }} file */
  const named = (file) => el("span", { class: "named", dir: "auto" }, file.name, el("small", {}, size(file.size)));

  /** The files of a message: pictures as such where the page's policy lets them be shown, others by name. @param {Entry} entry */
  function showFiles({ message, files }) {
    const attached = message.attachments ?? [];
    const told = JSON.stringify(attached);
    if (files.dataset.told === told) return;
    files.dataset.told = told;
    files.hidden = !attached.length;
    files.replaceChildren(
      ...attached.map((file) => {
        const item = el("li", {});
        const href = file.url && new URL(file.url, base).href;
        /** @type {Record<string, string>} */
        const leads = href ? { href, target: "_blank", rel: "noopener noreferrer" } : {};
        const plain = () => item.replaceChildren(el(href ? "a" : "span", { class: "file", ...leads }, icon(PAPER, "M14 3v5h5"), named(file)));
        if (href && file.thumbnail) {
          const { url, width, height } = file.thumbnail;
          item.append(el("a", { class: "shown", ...leads }, el("img", { src: new URL(url, base).href, width, height, alt: file.name, error: plain })));
        } else plain();
        return item;
      }),
    );
  }

  /** @param {Entry} entry */
  function place(entry) {
    const was = entries.indexOf(entry);
    if (was >= 0) entries.splice(was, 1);
    let at = entries.length;
    while (at > 0 && isAfter(/** @type {Entry} */ (entries[at - 1]).message, entry.message)) at -= 1;
    entries.splice(at, 0, entry);
    // What stands where it belongs is not moved: it would be read out once more.
    if (was !== at) list.insertBefore(entry.item, entries[at + 1]?.item ?? null);
  }

  const days = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long" });
  const times = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
  /** @param {HTMLElement} element @param {string} text */
  const set = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  };

  /** Days, names and states, each where it is told first or last. */
  function arrange() {
    const own = entries.findLast(({ message }) => message.from === "visitor" && message.id);
    entries.forEach(({ message, item, day, who, foot }, at) => {
      const before = entries[at - 1]?.message;
      const after = entries[at + 1]?.message;
      const date = days.format(new Date(message.at));
      const isOfDay = before ? days.format(new Date(before.at)) !== date : date !== days.format(new Date());
      const isFirst = isOfDay || !before || before.from !== message.from || before.name !== message.name;
      set(day, isOfDay ? date : "");
      set(who, isFirst && message.from !== "visitor" ? sender(message) : "");
      item.classList.toggle("first", isFirst);
      item.classList.toggle("failed", message.state === "failed");
      const isLast = !after || after.from !== message.from || after.name !== message.name || !message.id || !after.id;
      if (message.state === "failed" && message.from === "visitor") {
        if (!foot.querySelector("button")) foot.replaceChildren(`${say("failed")} · `, el("button", { type: "button", click: () => retry(message) }, say("retry")));
        foot.hidden = false;
      } else if (message.from === "visitor" && !message.id) set(foot, say("sending"));
      else if (entries[at] === own) set(foot, `${times.format(new Date(message.at))} · ${say(message.state === "queued" || !message.state ? "sent" : message.state)}`);
      else set(foot, isLast ? times.format(new Date(message.at)) : "");
    });
    showTools();
  }

  /** A line between messages that nobody wrote. @param {string} text */
  function note(text) {
    list.append(el("li", { class: "note" }, el("p", {}, text)));
    scroll();
  }

  const scroll = () => requestAnimationFrame(() => (log.scrollTop = log.scrollHeight));
  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 80;

  function showBadge() {
    badge.hidden = !unseen.size;
    badge.textContent = unseen.size > 9 ? "9+" : String(unseen.size);
    launch.setAttribute("aria-label", unseen.size ? `${say("open")}. ${say("unread", { n: unseen.size })}` : say("open"));
  }

  /** What came from the server. @param {Message} message @param {boolean} isNew whether it was written just now */
  function arrived(message, isNew) {
    const atEnd = isAtEnd();
    const isFirst = take({ ...message, isLocal: false });
    if (message.from === "visitor") keep((now) => (now.pending = now.pending.filter(({ external_id }) => external_id !== message.external_id)));
    else if (message.id && message.state !== "read") {
      if (isFirst) unseen.add(message.id);
      if (isFirst && RANKS.indexOf(message.state ?? "") < RANKS.indexOf("delivered")) owe("delivered", [message.id]);
      if (isFirst && isNew) {
        showTyping(null);
        ring(message.id);
        if (!isShown()) spoken.textContent = say("news", { name: sender(message) });
      }
    }
    if (atEnd || message.from === "visitor") scroll();
    seen();
  }

  /** What is shown has been read. */
  function seen() {
    if (isShown() && unseen.size) {
      const ids = [...unseen];
      owe("read", ids);
      tell({ kind: "read", ids });
      unseen.clear();
      spoken.textContent = "";
    }
    showBadge();
  }

  /** Receipts that are still to be given. @type {{ delivered: Set<string>, read: Set<string> }} */
  const owed = { delivered: new Set(), read: new Set() };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let giving;
  /** @param {"delivered" | "read"} what @param {string[]} ids */
  function owe(what, ids) {
    for (const id of ids) owed[what].add(id);
    giving ??= setTimeout(give, 150);
  }
  async function give() {
    const delivered = [...owed.delivered].filter((id) => !owed.read.has(id)).slice(0, RECEIPTS);
    const read = [...owed.read].slice(0, RECEIPTS);
    const answer = await ask("POST", "receipts", { delivered, read });
    giving = undefined;
    if (!comesAgain(answer)) {
      for (const id of delivered) owed.delivered.delete(id);
      for (const id of read) {
        owed.read.delete(id);
        owed.delivered.delete(id);
      }
    }
    if (mine && owed.delivered.size + owed.read.size) giving = setTimeout(give, comesAgain(answer) ? 5_000 : 150);
  }

  // Sending: each message under a name of its own until it is known to have arrived.

  /** @type {Message[]} */
  const outbox = [];
  let isSending = false;

  function submit() {
    const body = text.value.trim();
    if (!body && !chosen.length) return text.focus();
    const address = mail.hidden || email.hidden ? "" : email.value.trim();
    const isWrong = Boolean(address) && !email.checkValidity();
    wrong.textContent = isWrong ? say("wrong") : "";
    email.setAttribute("aria-invalid", String(isWrong));
    if (isWrong) return email.focus();
    const said = answers();
    if (!said || isBlocked) return;
    begun(said);
    if (address) keep((now) => (now.email = address));
    text.value = "";
    say_it(body);
  }

  /** Sends words, with the files that were chosen. @param {string} body */
  function say_it(body) {
    const message = /** @type {Message} */ ({ external_id: uuid(), from: "visitor", body, at: new Date().toISOString(), isLocal: true });
    if (chosen.length) {
      message.files = chosen.map(({ key }) => key);
      message.attachments = chosen.map(({ file }) => ({ name: file.name, media_type: file.type, size: file.size }));
      for (const { key, file } of chosen) held.set(key, file);
      chosen.length = 0;
      showChosen();
    }
    keep((now) => now.pending.push(message));
    grow();
    showFaces(false);
    showPresence();
    keepOpen(isOpen);
    tell({ kind: "token" });
    queue(message);
    text.focus();
  }

  /** @param {Message} message */
  function queue(message) {
    if (outbox.some(({ external_id }) => external_id === message.external_id)) return;
    outbox.push(message);
    take(message);
    tell({ kind: "pending", message });
    scroll();
    flush();
  }

  /** @param {Message} message */
  function retry(message) {
    if (message.files?.some((key) => !held.has(key))) {
      // The page was loaded anew since: what was chosen before is chosen once more.
      drop(message.external_id);
      text.value = message.body;
      grow();
      return clip.focus();
    }
    const again = { ...message, state: undefined };
    const said = answers();
    if (!said || isBlocked) return;
    begun(said);
    keep((now) => now.pending.push(again));
    queue(again);
  }

  /** Shows a message no more. @param {string | undefined} external_id */
  function drop(external_id) {
    const at = entries.findIndex((entry) => entry.message.external_id === external_id);
    if (at >= 0) entries.splice(at, 1)[0]?.item.remove();
    arrange();
  }

  // What is shown before a chat begins: that this browser has reckoned, and what the page's captcha says.

  /** The token that is let in by it. */
  let proven = "";
  async function prove() {
    const token = mine?.token ?? "";
    const wanted = await ask("GET", "challenge");
    if (!wanted?.ok) return wanted;
    warn("checking");
    const { challenge, bits, site_key } = wanted.body;
    const solution = challenge ? await solve(challenge, bits) : undefined;
    const captcha = site_key ? await person(site_key) : undefined;
    const answer = await ask("POST", "proof", { challenge: challenge ?? undefined, solution, captcha });
    calm("checking");
    if (answer?.ok) proven = token;
    return answer;
  }

  /** What the captcha says that the site has: it is asked by an event. @param {string} siteKey @returns {Promise<string>} */
  const person = (siteKey) =>
    new Promise((resolve) => {
      const wanted = new CustomEvent("deskfold-captcha", { cancelable: true, detail: { siteKey, resolve } });
      if (document.dispatchEvent(wanted)) resolve("");
    });

  /** A text with which the SHA-256 of the challenge begins with so many zeros, sought a little at a time: the page goes on meanwhile. @param {string} challenge @param {number} bits */
  async function solve(challenge, bits) {
    const start = new TextEncoder().encode(`${challenge}.`);
    const whole = start.length & ~63;
    let from = FIRST;
    for (let at = 0; at < whole; at += 64) from = compress(from, start, at);
    const rest = start.length - whole;
    for (let number = 0; ; ) {
      for (const until = performance.now() + 12; performance.now() < until; ) {
        for (let turn = 0; turn < 32; turn += 1) {
          const solution = (number++).toString(36);
          const length = rest + solution.length;
          const block = new Uint8Array(length < 56 ? 64 : 128);
          block.set(start.subarray(whole));
          for (let at = 0; at < solution.length; at += 1) block[rest + at] = solution.charCodeAt(at);
          block[length] = 0x80;
          new DataView(block.buffer).setUint32(block.length - 4, (whole + length) * 8);
          let digest = compress(from, block, 0);
          if (block.length > 64) digest = compress(digest, block, 64);
          if (Math.clz32(digest[0]) >= bits) return solution;
        }
      }
      await pause(0);
    }
  }

  // SHA-256: what browsers have of it is not there on pages without HTTPS, and slow for what is short.
  const PRIMES = [...Array(312).keys()].filter((number) => number > 1 && ![...Array(number).keys()].some((by) => by > 1 && number % by === 0));
  /** @param {number} root */
  const fraction = (root) => ((root % 1) * 2 ** 32) | 0;
  const CUBES = PRIMES.map((prime) => fraction(Math.cbrt(prime)));
  /** @type {any} */
  const FIRST = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
  /** @type {any} */
  const words = new Int32Array(64);
  /** @param {number} word @param {number} by */
  const turn = (word, by) => (word >>> by) | (word << (32 - by));
  /** @param {any} from @param {any} bytes @param {number} at @returns {any} */
  function compress(from, bytes, at) {
    for (let i = 0; i < 16; i += 1) words[i] = (bytes[at + 4 * i] << 24) | (bytes[at + 4 * i + 1] << 16) | (bytes[at + 4 * i + 2] << 8) | bytes[at + 4 * i + 3];
    for (let i = 16; i < 64; i += 1) {
      const x = words[i - 15];
      const y = words[i - 2];
      words[i] = words[i - 16] + words[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = from;
    for (let i = 0; i < 64; i += 1) {
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + (CUBES[i] ?? 0) + words[i];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    return [a + from[0], b + from[1], c + from[2], d + from[3], e + from[4], f + from[5], g + from[6], h + from[7]];
  }

  /** Files that this tab still has, until the message that they go with has arrived. @type {Map<string, File>} */
  const held = new Map();
  /** Those of them that have arrived. @type {Set<string>} */
  const there = new Set();
  addEventListener("beforeunload", (event) => {
    if (held.size && outbox.some(({ files }) => files)) event.preventDefault();
  });

  /** Sends what goes with a message; why it did not arrive. @param {Message} message @returns {Promise<Answer | null | "sent">} */
  async function sendFiles({ files = [] }) {
    for (const key of files) {
      const file = held.get(key);
      if (!file || there.has(key)) continue;
      const answer = await ask("POST", `uploads?external_id=${key}&name=${encodeURIComponent(file.name.slice(0, 200))}`, file);
      if (!answer?.ok) return answer;
      there.add(key);
    }
    return "sent";
  }

  async function flush() {
    if (isSending) return;
    isSending = true;
    let wait = 1;
    let isRenewed = false;
    let tries = 0;
    for (let message = outbox[0]; message && mine; message = outbox[0]) {
      const { external_id, body, files, attachments, ...rest } = message;
      const visitor = { name: told.name || undefined, path: location.pathname, language: navigator.language };
      const user = told.user && told.userHash ? { id: told.user, hash: told.userHash } : undefined;
      const isFirst = isRenewed || !entries.some((entry) => entry.message.id && entry.message.from === "visitor");
      const proof = isFirst && config.protected && proven !== mine.token ? await prove() : null;
      const went = proof && !proof.ok ? proof : await sendFiles(message);
      const answers = isFirst ? mine?.answers : undefined;
      const answer = went === "sent" ? await ask("POST", "messages", { external_id, body, files, visitor, email: mine?.email, user, answers }) : went;
      if (answer?.ok) {
        outbox.shift();
        keep((now) => (now.pending = now.pending.filter((other) => other.external_id !== external_id)));
        for (const key of files ?? []) held.delete(key);
        // Its place is known already where it was heard of before this answer came.
        const heard = entries.find((entry) => entry.message.external_id === external_id)?.message;
        take({ ...rest, ...heard, external_id, body, id: answer.body.message, state: undefined });
        calm(warned);
        if (!following) tell({ kind: "begun" });
        lead();
        [wait, isRenewed] = [1, false];
      } else if (/^(challenge_|visitor_unproven)/.test(answer?.body?.code) && ++tries < 4) {
        // It took too long, or is wanted since a moment ago.
        [proven, config.protected] = ["", true];
      } else if (isUnknown(answer) && !isRenewed) {
        // The conversation was taken away meanwhile: what is written begins another.
        isRenewed = true;
        there.clear();
        keep((now) => (now.token = newToken()));
        stop?.abort();
        tell({ kind: "token" });
      } else if (comesAgain(answer)) {
        warn(answer?.status === 429 ? "busy" : "lost");
        await pause(answer?.after || wait);
        wait = Math.min(wait * 2, LONGEST);
      } else {
        outbox.shift();
        keep((now) => (now.pending = now.pending.filter((other) => other.external_id !== external_id)));
        // Nothing arrived, and so there is nothing to remember either.
        if (!entries.some((entry) => entry.message.id) && !outbox.length) store(null);
        if (answer?.body?.code === "visitor_blocked") block(true);
        if (!mine && !files) await ask_config();
        showPresence();
        if (!mine && !files && refused(answer)) {
          // What is to be answered otherwise is, and the words are still there.
          drop(external_id);
          text.value = body;
          grow();
          [...fields.values()].find(({ wrong }) => wrong.textContent)?.input.focus();
          continue;
        }
        take({ ...message, state: "failed" });
        tell({ kind: "pending", message: { ...message, state: "failed" } });
      }
    }
    isSending = false;
  }

  // Files: chosen first, looked at, and sent with the message.

  /** @type {{ key: string, file: File }[]} */
  const chosen = [];

  /** @param {File[]} files */
  function choose(files) {
    if (!config.files || !files.length) return;
    set(notice, (warned = ""));
    for (const file of files) {
      const refused = chosen.length >= FILES ? say("many", { n: FILES }) : file.size > config.max_file_bytes ? say("large", { name: file.name, n: Math.floor(config.max_file_bytes / 1e6) }) : "";
      if (refused) set(notice, refused);
      else if (file.size) chosen.push({ key: uuid(), file });
    }
    showChosen();
    text.focus();
  }

  function showChosen() {
    tray.hidden = !chosen.length;
    chosenList.replaceChildren(
      ...chosen.map(({ key, file }) => {
        const remove = () => {
          chosen.splice(chosen.findIndex((one) => one.key === key), 1);
          showChosen();
          text.focus();
        };
        const kind = el("span", { class: "kind" }, icon(PAPER, "M14 3v5h5"));
        if (file.type.startsWith("image/")) preview(file, kind);
        return el("li", {}, kind, named(file), el("button", { type: "button", "aria-label": say("remove", { name: file.name }), click: remove }, icon(CROSS)));
      }),
    );
  }

  /** Shows what a picture shows, drawn: the page's policy need not let it be. @param {File} file @param {HTMLElement} into */
  async function preview(file, into) {
    try {
      const picture = await createImageBitmap(file);
      const side = Math.min(picture.width, picture.height);
      const canvas = el("canvas", { width: 80, height: 80 });
      canvas.getContext("2d")?.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, 80, 80);
      picture.close();
      into.replaceWith(canvas);
    } catch {
      // It goes by its name.
    }
  }

  text.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || !config.files) return;
    event.preventDefault();
    choose(files);
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    panel.addEventListener(kind, (event) => {
      if (!(event instanceof DragEvent) || !config.files || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      over.hidden = kind === "drop" || (kind === "dragleave" && !(event.relatedTarget instanceof Node && panel.contains(event.relatedTarget)));
      if (kind === "drop") choose([...event.dataTransfer.files]);
    });
  }

  let warned = "";
  /** @param {string} name */
  function warn(name) {
    warned = name;
    set(notice, say(name));
  }
  /** @param {string} name */
  function calm(name) {
    if (warned && warned === name) set(notice, (warned = ""));
  }

  // Hearing: one tab listens, and tells the others.

  /** Up to where this tab has heard. @type {number | null} */
  let position = null;
  let following = false;
  /** @type {AbortController | undefined} */
  let stop;

  /** All that was said, page by page. */
  async function load() {
    /** @type {number | null} */
    let after = null;
    let upTo = position;
    do {
      const answer = await ask("GET", after === null ? "messages" : `messages?after=${after}`);
      if (!answer?.ok) return answer;
      for (const message of answer.body.data) arrived(message, false);
      // What happened while the pages were read is heard after the first of them.
      upTo ??= answer.body.position;
      after = answer.body.next;
      status = answer.body.status;
      rating = answer.body.rating ?? null;
      offer(answer.body.choices);
      block(answer.body.blocked);
    } while (after !== null && after !== undefined);
    position = Math.max(position ?? 0, upTo ?? 0);
    showStatus();
    return null;
  }

  /** Listens for as long as there is a conversation; in one tab alone, where the browser can tell. */
  function lead() {
    if (following || !mine) return;
    following = true;
    const done = () => {
      following = false;
    };
    const listening = navigator.locks ? navigator.locks.request(KEY, follow) : follow();
    listening.then(done, done);
  }

  async function follow() {
    let wait = 1;
    while (mine) {
      const isFirst = position === null;
      const refusal = isFirst ? await load() : await listen();
      if (!mine) return;
      if (isUnknown(refusal)) {
        // What waits to be sent begins a conversation.
        if (!outbox.length) return forgotten();
      } else if (refusal && !comesAgain(refusal)) return;
      const isWell = isFirst ? position !== null : isAlive;
      wait = isWell ? 1 : Math.min(wait * 2, LONGEST);
      if (isWell && isFirst) continue;
      if (!isWell) warn("lost");
      await pause(wait * (0.5 + Math.random() / 2));
    }
  }

  let isAlive = false;
  /** One connection, until it breaks. @returns {Promise<Answer | null>} */
  async function listen() {
    const mineNow = mine?.token;
    const control = (stop = new AbortController());
    isAlive = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let silence;
    const lives = () => {
      clearTimeout(silence);
      silence = setTimeout(() => control.abort(), SILENCE);
    };
    try {
      lives();
      const headers = { authorization: `Bearer ${mineNow}`, accept: "text/event-stream" };
      const answer = await fetch(`${base}stream?after=${position}`, { headers, signal: control.signal, credentials: "omit", cache: "no-store" });
      if (!answer.ok || !answer.body) {
        const body = await answer.json().catch(() => null);
        return { ok: false, status: answer.status, body, after: 0 };
      }
      isAlive = true;
      calm("lost");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let [rest, name, data, id] = ["", "", "", ""];
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return null;
        lives();
        const lines = (rest + value).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
          const [field, said] = [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).replace(/^ /, "")];
          if (field === "event") name = said;
          else if (field === "data") data += data ? `\n${said}` : said;
          else if (field === "id") id = said;
          else if (line === "") {
            const heard = { name, data: data ? JSON.parse(data) : null, id: Number(id) || 0 };
            hear(heard);
            tell({ kind: "heard", heard });
            [name, data, id] = ["", "", ""];
          }
        }
      }
    } catch {
      return null;
    } finally {
      clearTimeout(silence);
      control.abort();
    }
  }

  /** @param {{ name: string, data: any, id: number }} heard */
  function hear({ name, data, id }) {
    if (name === "message") arrived(data, true);
    else if (name === "state") {
      const entry = entries.find(({ message }) => message.id === data.message);
      if (entry) {
        if (["failed", "uncertain"].includes(data.state)) entry.message.state = data.state;
        else advance(entry, data.state);
        if (data.state === "read" && unseen.delete(data.message)) showBadge();
        arrange();
      }
    } else if (name === "closed" || name === "reopened") {
      status = name === "closed" ? "closed" : "open";
      if (status === "open") [rating, copied] = [null, ""];
      showStatus();
    } else if (name === "choices") offer(data.choices);
    else if (name === "blocked" || name === "unblocked") block(name === "blocked");
    else if (name === "revoked") return forgotten();
    else if (name === "handed_over") note(say("person"));
    else if (name === "signal") showTyping(data.signal === "typing" ? data.name || "" : null);
    else if (name === "presence") {
      config.operators_present = data.operators_present;
      showPresence();
    }
    if (id > (position ?? 0)) position = id;
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let types;
  /** @param {string | null} name */
  function showTyping(name) {
    clearTimeout(types);
    typing.hidden = name === null;
    if (name === null) return;
    const atEnd = isAtEnd();
    typing.replaceChildren(el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), name ? say("typing", { name }) : say("somebody"));
    if (atEnd) scroll();
    types = setTimeout(() => showTyping(null), SEES_TYPING);
  }

  /** Whether what is written here is taken. @param {boolean} now */
  function block(now) {
    if (now === isBlocked) return;
    isBlocked = now;
    text.disabled = send.disabled = clip.disabled = face.disabled = now;
    if (now) warn("blocked");
    else calm("blocked");
    offer(choices);
  }

  // The end of it.

  let isAsked = false;
  /** @param {boolean} asks */
  function sure(asks) {
    isAsked = asks;
    showStatus();
    (asks ? asked.querySelector("button") : text)?.focus();
  }

  function showStatus() {
    showTools();
    showPresence();
    if (status === "closed") {
      isAsked = false;
      if (asked.dataset.shown === `closed${rating}${copied}`) return;
      asked.dataset.shown = `closed${rating}${copied}`;
      const again = el("button", { class: "link again", type: "button", click: () => forget() }, say("again"));
      asked.replaceChildren(el("p", {}, say("ended")), rating === null ? rate() : el("p", { role: "status" }, say("rated")), ...copy(), again);
      offered.hidden = true;
      asked.hidden = false;
      if (isShown()) spoken.textContent = say("ended");
    } else if (isAsked) {
      if (asked.dataset.shown === "sure") return;
      asked.dataset.shown = "sure";
      const yes = el("button", { class: "act yes", type: "button", click: () => finish() }, say("yes"));
      asked.replaceChildren(el("p", {}, say("sure")), yes, el("button", { class: "act other", type: "button", click: () => sure(false) }, say("no")));
      asked.hidden = false;
    } else {
      asked.dataset.shown = "";
      asked.replaceChildren();
      asked.hidden = true;
    }
    scroll();
  }

  async function finish() {
    const answer = await ask("POST", "close");
    if (!answer?.ok) return answer && isUnknown(answer) ? forgotten() : warn("lost");
    status = "closed";
    showStatus();
    asked.querySelector("input")?.focus();
  }

  function rate() {
    const stars = [1, 2, 3, 4, 5].map((score) =>
      el("label", {}, el("input", { type: "radio", name: "score", value: score, "aria-label": say("score", { n: score }) }), icon("M12 3l2.8 5.7 6.2.9-4.5 4.4 1.1 6.2L12 17.3l-5.6 2.9 1.1-6.2L3 9.6l6.2-.9z")),
    );
    const words = el("textarea", { id: "words", rows: 2, maxlength: 2000, dir: "auto" });
    const rates = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const chosen = stars.findIndex((label) => label.querySelector("input")?.checked) + 1;
      if (!chosen) return stars[4]?.querySelector("input")?.focus();
      const answer = await ask("POST", "rate", { score: chosen, text: words.value.trim() || undefined });
      if (!answer?.ok) return warn("lost");
      rating = chosen;
      showStatus();
      tell({ kind: "rated", rating });
      text.focus();
    };
    return el("form", { class: "rate", novalidate: true, submit: rates }, el("fieldset", {}, el("legend", {}, say("rate")), el("div", { class: "stars" }, ...stars)), el("label", { for: "words" }, say("more")), words, el("button", { class: "act", type: "submit" }, say("send")));
  }

  /** The chat by mail: asked for, or on its way. */
  function copy() {
    if (copied) return [el("p", { role: "status", dir: "auto" }, say("copied", { email: copied }))];
    const [address, wrong] = [el("input", { id: "copy", type: "email", autocomplete: "email", maxlength: 254, "aria-describedby": "uncopied" }), el("p", { class: "wrong", id: "uncopied", role: "alert" })];
    const asks = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const email = address.value.trim();
      const answer = email && address.checkValidity() ? await ask("POST", "transcript", { email, language }) : null;
      if (answer?.ok) {
        copied = email;
        showStatus();
        return text.focus();
      }
      wrong.textContent = answer || !email || !address.checkValidity() ? say(answer?.status === 429 ? "busy" : "wrong") : say("lost");
      address.setAttribute("aria-invalid", "true");
      address.focus();
    };
    const form = el("form", { class: "copy", novalidate: true, hidden: true, submit: asks }, el("label", { for: "copy" }, say("mailed")), el("div", { class: "line" }, address, el("button", { class: "act other", type: "submit" }, say("send"))), wrong);
    const opens = el("button", { class: "link copies", type: "button", click: () => { [opens.hidden, form.hidden] = [true, false]; address.value ||= mine?.email ?? mine?.answers?.[config.questions.find(({ type }) => type === "email")?.key ?? ""] ?? ""; address.focus(); } }, say("copy"));
    return [opens, form];
  }

  /** Takes the conversation away from this browser: the token is worth nothing from then on. */
  async function forget() {
    const answer = await ask("POST", "forget");
    if (comesAgain(answer)) return warn("lost");
    forgotten();
    tell({ kind: "forgotten" });
    text.focus();
  }

  function forgotten() {
    store(null);
    stop?.abort();
    outbox.length = 0;
    held.clear();
    there.clear();
    clear();
  }

  /** Shows nothing of any conversation. */
  function clear() {
    entries.length = 0;
    unseen.clear();
    owed.delivered.clear();
    owed.read.clear();
    list.replaceChildren();
    [position, status, rating, isAsked, copied] = [null, "open", null, false, ""];
    offer([]);
    block(false);
    welcome();
    set(notice, (warned = ""));
    showTyping(null);
    showStatus();
    showBadge();
  }

  // Several tabs are one.

  const tab = uuid();
  /** @type {Set<string>} */
  const others = new Set();
  const tabs = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(KEY);
  /** @param {Record<string, any>} what */
  const tell = (what) => tabs?.postMessage({ tab, ...what });
  tabs?.addEventListener("message", ({ data }) => {
    if (!isStarted) return;
    if (data.kind === "gone") return others.delete(data.tab);
    others.add(data.tab);
    if (data.kind === "hello") tell({ kind: "here" });
    else if (data.kind === "token") {
      const before = mine?.token;
      if (kept() && before && mine?.token !== before) {
        stop?.abort();
        clear();
      }
      showPresence();
    } else if (data.kind === "begun") {
      if (kept()) load().then(lead);
    } else if (data.kind === "pending") {
      const known = entries.find(({ message }) => message.external_id === data.message.external_id);
      if (!known?.message.id) take(data.message);
      scroll();
    } else if (data.kind === "heard") hear(data.heard);
    else if (data.kind === "read") {
      for (const id of data.ids) unseen.delete(id);
      showBadge();
    } else if (data.kind === "rated") {
      rating = data.rating;
      showStatus();
    } else if (data.kind === "forgotten") forgotten();
  });

  // Sound: none until somebody has touched the chat, and in one tab alone.

  /** @type {AudioContext | undefined} */
  let audio;
  let quietHere = false;
  const isQuiet = () => mine?.quiet ?? quietHere;
  function hush() {
    quietHere = !isQuiet();
    keep((now) => (now.quiet = quietHere));
    showTools();
  }
  for (const gesture of ["click", "keydown"]) {
    all.addEventListener(gesture, () => {
      if (navigator.userActivation?.hasBeenActive === false) return;
      audio ??= new AudioContext();
      if (audio.state === "suspended") audio.resume().catch(() => undefined);
    });
  }
  /** @param {string} id */
  async function ring(id) {
    // A moment, in which it may be read in another tab.
    await pause(0.2);
    if (!audio || audio.state !== "running" || isQuiet() || !unseen.has(id)) return;
    if (!navigator.locks) return beep(audio);
    const context = audio;
    await navigator.locks.request(`${KEY}:sound`, { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      beep(context);
      await pause(1);
    });
  }
  /** @param {AudioContext} audio */
  function beep(audio) {
    [660, 880].forEach((pitch, at) => {
      const [tone, volume] = [audio.createOscillator(), audio.createGain()];
      const begin = audio.currentTime + at * 0.12;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0, begin);
      volume.gain.linearRampToValueAtTime(0.08, begin + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, begin + 0.25);
      tone.connect(volume).connect(audio.destination);
      tone.start(begin);
      tone.stop(begin + 0.26);
    });
  }

  // Writing.

  function grow() {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
    const rest = config.max_text - [...text.value].length;
    set(left, config.max_text && rest < 200 ? say("left", { n: rest }) : "");
  }
  let saidAt = 0;
  text.addEventListener("input", () => {
    grow();
    const now = Date.now();
    if (!mine || !text.value || now - saidAt < SAYS_TYPING || !entries.some(({ message }) => message.id)) return;
    saidAt = now;
    ask("POST", "signals", { signal: "typing" });
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  /** @param {boolean} shows */
  function showFaces(shows) {
    if (shows && !faces.firstChild) {
      EMOJI.forEach((emoji, at) => faces.append(el("button", { type: "button", tabindex: at ? -1 : 0, click: () => put(emoji) }, emoji)));
      faces.addEventListener("keydown", step);
    }
    const had = faces.contains(root.activeElement);
    faces.hidden = !shows;
    face.setAttribute("aria-expanded", String(shows));
    if (shows) /** @type {HTMLElement | null} */ (faces.querySelector("[tabindex='0']"))?.focus();
    else if (had) face.focus();
  }
  /** @param {KeyboardEvent} event */
  function step(event) {
    const buttons = [...faces.querySelectorAll("button")];
    const at = buttons.findIndex((button) => button === root.activeElement);
    const ahead = direction === "rtl" ? -1 : 1;
    const by = { ArrowRight: ahead, ArrowLeft: -ahead, ArrowDown: 8, ArrowUp: -8, Home: -at, End: buttons.length - 1 - at }[event.key];
    const next = by === undefined ? undefined : buttons[at + by];
    if (!next) return;
    event.preventDefault();
    buttons[at]?.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
  /** @param {string} emoji */
  function put(emoji) {
    text.setRangeText(emoji, text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input"));
    showFaces(false);
    text.focus();
  }

  // The beginning.

  function welcome() {
    if (config.greeting) list.prepend(el("li", { class: "other first greeting" }, el("div", { class: "body", dir: "auto" }, config.greeting)));
  }

  /** How the chat looks on this page, and who is there; `null` where that cannot be told. */
  async function ask_config() {
    const answer = await ask("GET", `config?path=${encodeURIComponent(location.pathname)}`);
    if (answer?.ok) config = answer.body;
    return answer;
  }
  let lookedAt = Date.now();
  /** Whoever has not written hears from no stream who is there. */
  async function refresh() {
    if (Date.now() - lookedAt < 30_000) return;
    lookedAt = Date.now();
    if ((await ask_config())?.ok) showPresence();
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let opens;
  function appear() {
    const isColour = (/** @type {string} */ colour) => /^#[0-9a-f]{6}$/i.test(colour);
    if (isColour(config.color) && isColour(config.text_color)) colours.replaceSync(`:host { --color: ${config.color}; --on: ${config.text_color}; }`);
    title.textContent = config.name;
    list.querySelector(".greeting")?.remove();
    welcome();
    showPresence();
    showTools();
    showBadge();
    clip.hidden = !config.files;
    if (config.max_text) text.maxLength = config.max_text;
    clearTimeout(opens);
    if (isPage) return start();
    all.hidden = config.display === "hide";
    if (all.hidden) return;
    start();
    if (isOpen) return;
    const greeting = config.greeting ?? "";
    const greets = () => {
      greet.textContent = greeting;
      bubble.hidden = !greeting || isDismissed || isOpen;
    };
    if (config.display === "show_with_notification") greets();
    else bubble.hidden = true;
    // Nobody's screen is covered from edge to edge unasked.
    if (config.display === "auto_open") opens = setTimeout(() => (isDismissed ? undefined : phone.matches ? greets() : open(false)), (config.delay_s ?? 0) * 1000);
  }

  async function begin() {
    for (let wait = 2; ; wait = Math.min(wait * 2, LONGEST)) {
      const answer = await ask_config();
      if (answer?.ok) break;
      // Such a channel is not, or not for this page: there is nothing to show.
      if (!comesAgain(answer)) return;
      await pause(wait);
    }
    if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
    if (document.querySelector(`${NAME}[data-channel="${CSS.escape(channel)}"]`)) return;
    host.dataset.channel = channel;
    if (isPage) /** @type {HTMLScriptElement} */ (script).after(host);
    else document.body.append(host);
    appear();
  }

  let isStarted = false;
  /** Goes on with the conversation that there is. */
  async function start() {
    if (isStarted) return;
    isStarted = true;
    tell({ kind: "hello" });
    // What somebody else said who was signed in to the site is not for whoever looks now.
    if (kept()?.user && mine?.user !== told.user) store(null);
    if (!mine) return;
    showPresence();
    showTools();
    if (wasOpen() && !phone.matches) open(false);
    const refusal = await load();
    const waiting = mine?.pending ?? [];
    if (isUnknown(refusal) && !waiting.length) return forgotten();
    for (const message of waiting) queue(message);
    if (!isUnknown(refusal)) lead();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    seen();
    wakeUp();
  });
  addEventListener("online", wakeUp);
  addEventListener("pagehide", () => {
    tell({ kind: "gone" });
    if (mine && host.isConnected && !others.size && entries.some(({ message }) => message.id)) ask("POST", "signals", { signal: "left" }, true);
  });
  // A page that comes back as it was has missed what the others heard.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    tell({ kind: "hello" });
    if (kept()) load();
  });
  // Pages that change their path without being loaded anew.
  let path = location.pathname;
  const moved = async () => {
    if (location.pathname === path || isPage || !host.isConnected) return;
    path = location.pathname;
    if ((await ask_config())?.ok) appear();
  };
  addEventListener("popstate", moved);
  /** @type {any} */ (window).navigation?.addEventListener("currententrychange", moved);

  begin();
})();
