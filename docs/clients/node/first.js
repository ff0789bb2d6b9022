// Stores a purchase and reads the person back. Usage: node first.js [HOST:PORT] (PROTOS names the folder, default ../../../Protos)
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const protos = process.env.PROTOS || path.join(__dirname, "../../../Protos");
// 64-bit integers as strings: a JavaScript number cannot represent every lsn.
const definition = loader.loadSync("profiles/v1/profiles.proto", { includeDirs: [protos], keepCase: true, longs: String, enums: String, oneofs: true });
const { Profiles } = grpc.loadPackageDefinition(definition).profiles.v1;
const client = new Profiles(process.argv[2] || "127.0.0.1:50051", grpc.credentials.createInsecure());

const call = (method, request) => new Promise((resolve, reject) =>
  client[method](request, { deadline: Date.now() + 5000 }, (error, response) => (error ? reject(error) : resolve(response))));

(async () => {
  const identifier = { custom_id: "anna" };
  const purchase = { event_id: "order-1001", name: "purchase", attributes: { amount: { number: 59.9 }, currency: { string: "EUR" } } };
  const response = await call("Track", { project: "default", identifier, events: [purchase] });
  console.log(response.results[0].status, "at lsn", response.lsn);
  const { profile } = await call("GetProfile", { project: "default", identifier });
  console.log(profile.custom_id, "has", profile.event_counters[0].count, "purchase");
  client.close();
})().catch((error) => { console.error(error.message); process.exit(1); });
