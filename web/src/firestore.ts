/** The parts of Firestore that are used, so that a bundler leaves the others out; imported on first need. */

export {
  connectFirestoreEmulator,
  doc,
  getDoc,
  getDocFromServer,
  getFirestore,
  onSnapshot,
  runTransaction,
  serverTimestamp,
} from "firebase/firestore";
