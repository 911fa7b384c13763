// Shows the newest version of the page it stands in, and what keeps the newest source from being built.
(() => {
  let version = document.currentScript?.dataset.version;
  const events = new EventSource("/.wharf/dev/events");
  const isNewer = (event) => {
    const known = version;
    version = event.data;
    return known !== undefined && known !== event.data;
  };

  let overlay;
  const hide = () => overlay?.remove();
  const show = (text) => {
    hide();
    overlay = document.createElement("pre");
    overlay.id = "wharf-dev-error";
    overlay.textContent = text;
    overlay.style.cssText =
      "position:fixed;inset:0;z-index:2147483647;margin:0;padding:2rem;overflow:auto;white-space:pre-wrap;" +
      "font:14px/1.5 monospace;color:#eee;background:#111e;border-top:4px solid #c33";
    document.documentElement.append(overlay);
  };

  // The page that errors have of their own needs nothing in front. It may be read only in part yet.
  const errors = () => document.querySelector("pre[data-wharf-dev]");
  // Of another server, or what came while this page was loaded.
  events.addEventListener("version", (event) => isNewer(event) && location.reload());
  events.addEventListener("reload", () => location.reload());
  events.addEventListener("failed", (event) => (errors() ? (errors().textContent = event.data) : show(event.data)));
  events.addEventListener("fixed", () => (errors() ? location.reload() : hide()));
})();
