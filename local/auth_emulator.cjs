// Firebase's Auth emulator by itself: `node auth_emulator.cjs HOST PORT PROJECT`.
// firebase-tools' launcher would bring Java checks, update checks and a hub along.
"use strict";

const { AuthEmulator, SingleProjectMode } = require("firebase-tools/lib/emulator/auth");

const [host, port, projectId] = process.argv.slice(2);
const emulator = new AuthEmulator({
  host,
  port: Number(port),
  projectId,
  singleProjectMode: SingleProjectMode.NO_WARNING,
});

process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit(0));
}
emulator.start().catch((error) => {
  console.error(error);
  process.exit(1);
});
