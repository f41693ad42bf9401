// The TypeScript SDK as a client: `URL=… TOKEN=… node sdk.mjs v1|legacy|auto TOOL ARGUMENTS`.
// v1 is @modelcontextprotocol/sdk, which only knows `initialize`; the others are modes of @modelcontextprotocol/client.
// Prints what it saw as JSON; fails where a good call is an error or a bad one is none.
import { readFileSync } from "node:fs";

const [mode, tool, argumentsText] = process.argv.slice(2);
const { URL: url, TOKEN: token } = process.env;
const [name, streamable] =
  mode === "v1"
    ? ["@modelcontextprotocol/sdk", "@modelcontextprotocol/sdk/client/streamableHttp.js"]
    : ["@modelcontextprotocol/client", "@modelcontextprotocol/client"];
const { Client } = await import(mode === "v1" ? `${name}/client` : name);
const { StreamableHTTPClientTransport } = await import(streamable);
const { version } = JSON.parse(readFileSync(new globalThis.URL(`node_modules/${name}/package.json`, import.meta.url)));

// Every request passes here: `sent` are the MCP headers of the last one, `lie` replaces some of them.
let sent = {};
let lie = {};
const recordingFetch = (input, init) => {
  const headers = new Headers(init?.headers);
  for (const [header, value] of Object.entries(lie)) headers.set(header, value);
  sent = Object.fromEntries([...headers].filter(([header]) => header.startsWith("mcp-")));
  return fetch(input, { ...init, headers });
};

const failed = (why, what) => {
  console.error(`${why}: ${JSON.stringify(what)}`);
  process.exit(1);
};
const text = (result) => result.content.map((block) => block.text).join("\n");
const refusal = async (promise) => {
  const outcome = await promise.then((answer) => ({ answer }), (error) => ({ error }));
  if ("answer" in outcome) failed("answered, but should have been refused", outcome.answer);
  return { code: outcome.error.code, message: outcome.error.message };
};

const client = new Client({ name: "k-mcp-test", version: "1" }, mode === "v1" ? {} : { versionNegotiation: { mode } });
const headers = { Authorization: `Bearer ${token}` };
const transport = new StreamableHTTPClientTransport(new globalThis.URL(url), {
  requestInit: { headers },
  fetch: recordingFetch,
});
await client.connect(transport);

const { tools } = await client.listTools();
const args = JSON.parse(argumentsText);
const good = await client.callTool({ name: tool, arguments: args });
if (good.isError) failed("the call is an error", good);
const report = {
  client: `${name} ${version}`,
  protocol: mode === "v1" ? transport.protocolVersion : client.getNegotiatedProtocolVersion(),
  server: client.getServerVersion(),
  instructions: client.getInstructions(),
  tools: tools.map((each) => each.name),
  text: text(good),
  sent,
};
const bad = await client.callTool({ name: tool, arguments: { ...args, zzz: "x" } });
if (!bad.isError) failed("the bad call is no error", bad);
report.error = text(bad);
report.unknownTool = await refusal(client.callTool({ name: "no_such_tool", arguments: {} }));
if ("mcp-param-namespace" in report.sent) {
  lie = { "mcp-param-namespace": "kube-system" };
  report.mismatch = await refusal(client.callTool({ name: tool, arguments: args }));
  lie = {};
}
await client.close();
console.log(JSON.stringify(report, null, 1));
