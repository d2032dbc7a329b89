// Prints what firebase-tools reads from functions.yaml in the folder named on the command line.
"use strict";

const { detectFromYaml } = require("firebase-tools/lib/deploy/functions/runtimes/discovery");

detectFromYaml(process.argv[2], "demo-lectern", "python311").then(
  (build) => process.stdout.write(JSON.stringify(build ?? null)),
  (error) => {
    console.error(error, error.children);
    process.exit(1);
  },
);
