// Shows what is pushed to a browser while no page of Deskfold is open, and leads to it.
self.addEventListener("push", (event) => {
  const { title, body, url, tag } = event.data?.json() ?? {};
  // The same said twice is shown once.
  event.waitUntil(self.registration.showNotification(title ?? "Deskfold", { body, tag, data: { url } }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data?.url ?? "/notifications", self.location.origin).href;
  const shown = self.clients.matchAll({ type: "window" }).then((windows) => {
    const there = windows.find((window) => window.url === url);
    return there ? there.focus() : self.clients.openWindow(url);
  });
  event.waitUntil(shown);
});
