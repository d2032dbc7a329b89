/** The part of the Firebase SDK that calls functions, as a chunk of its own. */

export { getFunctions, httpsCallableFromURL } from "firebase/functions";
