// Preloaded into node (`node -r`): every TLS connection to port 443 goes to the emulator, under the name that was asked
// for. The SDK itself knows nothing but Azure's own host names.
"use strict";
const tls = require("tls");
const connect = tls.connect;
tls.connect = (options, ...more) => {
  if (options && Number(options.port) === 443) {
    const servername = options.servername || options.host;
    options = { ...options, servername, host: "127.0.0.1", port: Number(process.env.EMULATOR_HTTPS_PORT) };
  }
  return connect(options, ...more);
};
