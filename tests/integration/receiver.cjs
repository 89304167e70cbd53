// A business's server in Node: it verifies each delivery with npm's standardwebhooks, over the bytes that came, and answers 204 or 401.
// Usage: node receiver.cjs <secret>. It prints its port.
const http = require("node:http");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(process.argv[2]);

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    try {
      const event = webhook.verify(Buffer.concat(parts), request.headers);
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ verified: event.type }));
    } catch (problem) {
      response.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify({ refused: problem.message }));
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume(); // whoever started it is gone
