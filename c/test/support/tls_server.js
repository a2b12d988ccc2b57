// tls_server.js KEY CERT CA|- PROTOCOLS: an HTTPS server for tests, HTTP/2 and HTTP/1.1 as PROTOCOLS ("h2,http/1.1") says.
// With a CA it wants certificates of its clients. Writes "port:" and its port, and ends with its standard input.
"use strict";
const fs = require("fs");
const http2 = require("http2");
const https = require("https");

const [key, cert, ca, protocols] = process.argv.slice(2);
const options = { key: fs.readFileSync(key), cert: fs.readFileSync(cert), allowHTTP1: true };
if (ca !== "-") Object.assign(options, { ca: fs.readFileSync(ca), requestCert: true, rejectUnauthorized: true });

let connections = 0;
let requests = 0;
let live = 0;
let most = 0;

function answer(request, response) {
  requests++;
  live++;
  most = Math.max(most, live);
  let length = 0;
  request.on("data", (chunk) => (length += chunk.length));
  request.on("end", () => {
    const path = request.url;
    const finish = (body) => {
      live--;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(body);
    };
    if (path === "/slow") setTimeout(() => finish("slow"), 50);
    else if (path === "/never") return;
    else if (path === "/large") finish(Buffer.alloc(3000000, "0123456789"));
    else if (path === "/cut") (request.stream && request.httpVersion === "2.0" ? request.stream : request.socket).destroy();
    else if (path === "/end") request.stream.session.destroy();
    else if (path === "/goaway") {
      finish("going");
      request.stream.session.close();
    } else if (path === "/figures") finish(`${connections} ${requests} ${most}`);
    else finish(`HTTP/${request.httpVersion} ${length}`);
  });
}

const server = protocols.includes("h2") ? http2.createSecureServer(options, answer) : https.createServer(options, answer);
server.on("secureConnection", () => connections++);
server.on("sessionError", () => {});
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => console.log(`port:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
