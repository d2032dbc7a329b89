// A page of one's own with the Firebase SDK: what anybody may write who is signed in to the project.

import { initializeApp } from "firebase/app";
import { connectAuthEmulator, inMemoryPersistence, initializeAuth, signInAnonymously, signInWithEmailAndPassword } from "firebase/auth";
import {
  collection,
  collectionGroup,
  connectFirestoreEmulator,
  deleteDoc,
  doc,
  getDocFromServer,
  getDocsFromServer,
  getFirestore,
  limit,
  query,
  setDoc,
} from "firebase/firestore";

import { eventIdOf } from "../../web/src/identity";
import { FirestoreTransport } from "../../web/src/transports";

let auth;
let firestore;

/** "done", or the code of the refusal. */
async function outcome(work) {
  try {
    await work;
    return "done";
  } catch (error) {
    return error.code ?? String(error);
  }
}

window.probe = {
  open({ projectId, apiKey, authHost, firestoreHost }) {
    const app = initializeApp({ projectId, apiKey }, projectId);
    auth = initializeAuth(app, { persistence: inMemoryPersistence });
    connectAuthEmulator(auth, `http://${authHost}`, { disableWarnings: true });
    firestore = getFirestore(app);
    const [host, port] = firestoreHost.split(":");
    connectFirestoreEmulator(firestore, host, Number(port));
  },
  signIn: async (email, password) => (await signInWithEmailAndPassword(auth, email, password)).user.uid,
  signInAnonymously: async () => (await signInAnonymously(auth)).user.uid,
  read: (path) => outcome(getDocFromServer(doc(firestore, path))),
  list: (path) => outcome(getDocsFromServer(query(collection(firestore, path), limit(1)))),
  listGroup: (id) => outcome(getDocsFromServer(query(collectionGroup(firestore, id), limit(1)))),
  write: (path, data) => outcome(setDoc(doc(firestore, path), data)),
  remove: (path) => outcome(deleteDoc(doc(firestore, path))),
  eventIdOf,
  /** Send an answer the browser's own way; what came of it. */
  async send(answer) {
    const { assignmentId, uid, questionId, submissionId } = answer;
    const eventId = await eventIdOf(assignmentId, uid, questionId, submissionId);
    try {
      return await new FirestoreTransport(auth, async () => firestore).send(answer, eventId, auth.currentUser);
    } catch (error) {
      return { error: error.code ?? error.wait };
    }
  },
};
