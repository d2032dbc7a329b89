// Firebase's Auth emulator by itself: `node auth_emulator.cjs HOST PORT PROJECT`.
// firebase-tools' launcher would bring Java checks, update checks and a hub along.
"use strict";

startLightly();
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

// The emulator compiles a validator for each parameter of each operation before it listens, and checks each of
// these schemas of its own with a validator of schemas that it compiles anew: nine tenths of its start. Here
// they are taken as they are, and compiled when they are first used.
function startLightly() {
  const { createRequire } = require("node:module");
  const theirs = createRequire(require.resolve("firebase-tools/lib/emulator/auth"));
  const express = createRequire(theirs.resolve("exegesis-express"));
  const exegesis = express("exegesis");
  const { compileApi } = exegesis;
  exegesis.compileApi = (document, options) =>
    compileApi(document, { ...options, lazyCompileValidationSchemas: true });
  const validators = createRequire(express.resolve("exegesis"))("ajv/dist/core");
  validators.default.prototype.validateSchema = () => true;
}
