/** The page: header, language, account, and whatever stands between them. */

import type { User } from "firebase/auth";

import { entrance } from "./entrance";
import { fill, h, say } from "./dom";
import { initialLanguage, language, LANGUAGES, speak, t, type Language } from "./i18n";
import { errorNotice, loadingNotice } from "./notices";
import { leave, onAccount, openSession, teaches, type Session } from "./session";
import type { View } from "./view";
import { workspace } from "./workspace";

const SETTLED_MS = 2_000;

const header = h("header", { class: "bar" });
const banner = h("p", { class: "banner", role: "status", hidden: true });
const main = h("main", { id: "main" });

let session: Session | null = null;
let account: User | null = null;
let isTeacher = false;
let view: View | null = null;

function draw(): void {
  document.title = "Lectern";
  drawHeader();
  drawBanner();
  view?.close();
  view = null;
  if (session === null) {
    fill(main, loadingNotice());
    return;
  }
  view = account === null ? entrance(session) : workspace(session, account, isTeacher);
  fill(main, view.element);
}

function drawHeader(): void {
  const languages = h(
    "div",
    { class: "languages", role: "group", "aria-label": t("language") },
    ...(Object.keys(LANGUAGES) as Language[]).map((each) =>
      h(
        "button",
        {
          type: "button",
          lang: each,
          dir: each === "he" ? "rtl" : "ltr",
          "aria-pressed": String(each === language()),
          onclick: () => {
            speak(each, { remember: true });
            draw();
            header.querySelector<HTMLElement>(`button[lang=${each}]`)?.focus();
          },
        },
        LANGUAGES[each],
      ),
    ),
  );
  const current = session;
  const name = account === null ? "" : (account.displayName ?? account.email ?? account.uid);
  fill(
    header,
    h("a", { class: "skip", href: "#main", onclick: skip }, t("skipToContent")),
    h("a", { class: "brand", href: "#/" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), "Lectern"),
    h("span", { class: "tagline" }, t("tagline")),
    h("span", { class: "spacer" }),
    languages,
    account !== null && h("span", { class: "account" }, h("bdi", {}, name), h("span", { class: "badge" }, t(isTeacher ? "teacher" : "student"))),
    account !== null &&
      current !== null &&
      h("button", { type: "button", class: "quiet", onclick: () => void leave(current) }, t("signOut")),
  );
}

function skip(event: Event): void {
  event.preventDefault();
  main.tabIndex = -1;
  main.focus();
}

function drawBanner(): void {
  const waiting = session?.lectern.submissions().filter((each) => each.state.status === "queued").length ?? 0;
  const texts = [...(navigator.onLine ? [] : [t("offlineBanner")]), ...(waiting > 0 ? [t("waitingBanner", { count: waiting })] : [])];
  banner.hidden = texts.length === 0;
  say(banner, texts.join(" "));
}

async function start(): Promise<void> {
  draw();
  try {
    session = await openSession();
  } catch (error) {
    fill(
      main,
      errorNotice(error, () => location.reload()),
    );
    return;
  }
  const opened = session;
  opened.lectern.onSubmissions(drawBanner);
  onAccount(opened, (user) => void accountChanged(opened, user));
}

async function accountChanged(opened: Session, user: User | null): Promise<void> {
  account = user;
  isTeacher = user !== null && (await user.getIdTokenResult().then(({ claims }) => claims.role === "teacher", () => false));
  if (account !== user) return;
  draw();
  if (user === null || isTeacher) return;
  // A course's teacher need not carry the claim; what was drawn meanwhile serves a student.
  if ((await teaches(opened, user)) && account === user) {
    isTeacher = true;
    draw();
  }
}

/** Hand the service worker what this page was made of, most of which came before the worker did. */
async function keepForOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("/sw.js");
  await navigator.serviceWorker.ready;
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  const used = performance.getEntriesByType("resource").map((each) => new URL(each.name));
  const assets = used.filter((url) => url.origin === location.origin && url.pathname.startsWith("/assets/"));
  const wanted = new Set(["/", "/__lectern/config.json", ...assets.map((url) => url.pathname)]);
  const cache = await caches.open("lectern-page");
  for (const kept of await cache.keys()) {
    const { pathname } = new URL(kept.url);
    if (wanted.has(pathname)) wanted.delete(pathname);
    else await cache.delete(kept);
  }
  await cache.addAll([...wanted]);
}

speak(initialLanguage());
document.body.replaceChildren(header, banner, main);
window.addEventListener("online", drawBanner);
window.addEventListener("offline", drawBanner);
void start();
void keepForOffline().catch(() => undefined);
