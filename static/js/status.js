// The public page stays current: while it is seen, it asks for itself and takes over what changed.
const EVERY_MS = 20_000;

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href);
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.title = fresh.title;
        document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
        for (const part of ["main", "footer"]) document.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
      }
    } catch {
      // The page says of when it is; the next turn tries again.
    }
  }
  setTimeout(refresh, EVERY_MS);
}

setTimeout(refresh, EVERY_MS);
