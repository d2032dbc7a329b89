/**
 * Opens the page without a connection, so that a reload offline still shows what waits to be sent.
 *
 * Bundles carry their hash in their name and are kept for good; the page itself and its
 * configuration come from the network whenever it answers. Nothing else is touched: no function, no
 * sign-in, no Firestore.
 */

export {};

interface Fetching extends Event {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface ServiceWorker extends EventTarget {
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
}

const worker = self as unknown as ServiceWorker;
const CACHE = "lectern-page";
const CONFIG = "/__lectern/config.json";

worker.addEventListener("install", (event) => (event as Extendable).waitUntil(installed()));
worker.addEventListener("activate", (event) => (event as Extendable).waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const fetching = event as Fetching;
  const { request } = fetching;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/assets/")) fetching.respondWith(keptFirst(request));
  else if (url.pathname === "/" || url.pathname === CONFIG) fetching.respondWith(networkFirst(url.pathname, request));
});

async function installed(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(["/", CONFIG]);
  await worker.skipWaiting();
}

async function keptFirst(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return response;
}

async function networkFirst(path: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(path, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(path);
    if (kept) return kept;
    throw error;
  }
}
