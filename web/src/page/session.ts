/** Who is signed in, and what this page was told about where things are. */

import { initializeApp } from "firebase/app";
import {
  browserSessionPersistence,
  connectAuthEmulator,
  initializeAuth,
  inMemoryPersistence,
  onAuthStateChanged,
  signInWithEmailAndPassword,
  signOut,
  type Auth,
  type User,
} from "firebase/auth";
import type { Firestore } from "firebase/firestore";
import type { HttpsCallableStreamResult } from "firebase/functions";

import { LecternClient } from "../../client/lectern";
import { createLectern, type Lectern, type TransportName } from "../answers";

const DEADLINE_MS = 30_000;

/** `/__lectern/config.json`: `make run` makes it, and a build takes it from `web/config.json`. */
export interface Config {
  projectId: string;
  region: string;
  apiKey: string;
  /** Where functions are served as `/{project}/{region}/{name}`, as emulators do; absent in the cloud. */
  functionsOrigin?: string;
  /** `host:port` of the emulators; absent in the cloud. */
  firestoreHost?: string;
  authHost?: string;
  demoCourseId: string;
  accounts?: { email: string; password: string; role: string; name: string }[];
}

export interface Session {
  config: Config;
  auth: Auth;
  functions: LecternClient;
  lectern: Lectern;
  firestore(): Promise<Firestore>;
  /** Call the function of that name as a callable whose reply arrives in pieces. */
  stream<Request, Reply, Piece>(name: string, request: Request): Promise<HttpsCallableStreamResult<Reply, Piece>>;
}

export async function openSession(): Promise<Session> {
  const reply = await fetch("/__lectern/config.json");
  if (!reply.ok) throw new Error(`config.json: ${reply.status}`);
  const config = (await reply.json()) as Config;
  const { projectId, region, apiKey, functionsOrigin } = config;
  const app = initializeApp({ projectId, apiKey, authDomain: `${projectId}.firebaseapp.com` });
  // A session for each tab: on a shared device nobody stays signed in, and a teacher's window can
  // stand beside a student's.
  const auth = initializeAuth(app, { persistence: [browserSessionPersistence, inMemoryPersistence] });
  if (config.authHost) connectAuthEmulator(auth, `http://${config.authHost}`, { disableWarnings: true });

  let opened: Promise<Firestore> | null = null;
  const firestore = (): Promise<Firestore> => {
    opened ??= import("../firestore").then(({ connectFirestoreEmulator, getFirestore }) => {
      const database = getFirestore(app);
      const [host, port] = config.firestoreHost?.split(":") ?? [];
      if (host && port) connectFirestoreEmulator(database, host, Number(port));
      return database;
    });
    return opened;
  };

  const baseUrl = functionsOrigin
    ? `${functionsOrigin}/${projectId}/${region}`
    : `https://${region}-${projectId}.cloudfunctions.net`;
  const wishes = new URLSearchParams(location.search);
  const transport: TransportName = wishes.get("transport") === "firestore" ? "firestore" : "functions";
  const fallback = wishes.get("fallback") !== "no";
  const where = functionsOrigin ? { functionsOrigin, region } : { region };
  const lectern = createLectern({ auth, firestore, ...where, transport, fallback });
  const functions = new LecternClient({
    baseUrl,
    idToken: async () => (await auth.currentUser?.getIdToken()) ?? null,
    fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS), ...init }),
  });
  const stream = async <Request, Reply, Piece>(
    name: string,
    request: Request,
  ): Promise<HttpsCallableStreamResult<Reply, Piece>> => {
    const { getFunctions, httpsCallableFromURL } = await import("../callables");
    const functions = getFunctions(app, region);
    return await httpsCallableFromURL<Request, Reply, Piece>(functions, `${baseUrl}/${name}`).stream(request);
  };
  return { config, auth, functions, lectern, firestore, stream };
}

export function onAccount(session: Session, listener: (user: User | null) => void): void {
  onAuthStateChanged(session.auth, listener);
}

export async function enter(session: Session, email: string, password: string): Promise<void> {
  await signInWithEmailAndPassword(session.auth, email, password);
}

export async function leave(session: Session): Promise<void> {
  await signOut(session.auth);
}

/** Whether *user* teaches the course, by the membership document that the rules let them read. */
export async function teaches(session: Session, user: User): Promise<boolean> {
  try {
    const [{ doc, getDoc }, database] = await Promise.all([import("../firestore"), session.firestore()]);
    const membership = await getDoc(doc(database, "courses", session.config.demoCourseId, "members", user.uid));
    return membership.data()?.role === "teacher";
  } catch {
    return false;
  }
}
