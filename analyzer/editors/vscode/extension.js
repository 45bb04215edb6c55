// Starts `ingero rules lsp` for files of rules. All that the editor shows comes from there.
"use strict";

const { window, workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const command = workspace.getConfiguration("ingero").get("path");
  client = new LanguageClient(
    "ingero-rules",
    "Ingero rules",
    { command, args: ["rules", "lsp"] },
    { documentSelector: [{ language: "ingero-rules" }] },
  );
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(`Ingero: cannot start "${command}": set "ingero.path". ${error.message ?? error}`);
  }
}

async function stop() {
  const old = client;
  client = undefined;
  if (old?.isRunning()) await old.stop();
}

async function activate(context) {
  context.subscriptions.push(
    workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("ingero.path")) {
        await stop();
        await start();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
