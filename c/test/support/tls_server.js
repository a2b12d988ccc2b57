// tls_server.js KEY CERT CA|- PROTOCOLS: an HTTPS server for tests, HTTP/2 and HTTP/1.1 as PROTOCOLS ("h2,http/1.1") says.
// With a CA it wants certificates of its clients. Writes "port:" and its port, and ends with its standard input.
"use strict";
const crypto = require("crypto");
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
// A WebSocket that says again what it is told, in one frame.
server.on("upgrade", (request, socket, rest) => {
  const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  let input = Buffer.alloc(0);
  let message = [];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
    `Sec-WebSocket-Protocol: ${request.headers["sec-websocket-protocol"]}\r\n\r\n`);
  const take = (chunk) => {
    input = Buffer.concat([input, chunk]);
    while (input.length >= 2) {
      const more = [0, 2, 8][(input[1] & 127) - 125] || 0;
      if (input.length < 6 + more) return;
      const length = more === 8 ? Number(input.readBigUInt64BE(2)) : more === 2 ? input.readUInt16BE(2) : input[1] & 127;
      const mask = input.subarray(2 + more, 6 + more);
      if (input.length < 6 + more + length) return;
      if ((input[0] & 15) === 8) return void socket.end(Buffer.from([0x88, 0]));
      message.push(Buffer.from(input.subarray(6 + more, 6 + more + length)).map((byte, i) => byte ^ mask[i % 4]));
      if (input[0] & 128) {
        const body = Buffer.concat(message);
        const head = Buffer.alloc(10);
        head[0] = 0x81;
        head[1] = 127;
        head.writeBigUInt64BE(BigInt(body.length), 2);
        socket.write(Buffer.concat([head, body]));
        message = [];
      }
      input = input.subarray(6 + more + length);
    }
  };
  socket.on("data", take);
  socket.on("error", () => {});
  take(rest);
});
server.on("secureConnection", () => connections++);
server.on("sessionError", () => {});
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => console.log(`port:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
