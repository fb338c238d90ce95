// A back end on Azure's official Node SDK that does everything the service API has for individual enrollments, once
// right and once wrong. Prints one JSON object: what each step was answered.
"use strict";
const { ProvisioningServiceClient } = require("azure-iot-provisioning-service");
const [connectionString, certificate] = process.argv.slice(2);
const service = ProvisioningServiceClient.fromConnectionString(connectionString);

// With callbacks: the promises of this client lose the answer's headers, and that of a bulk never settles.
const answer = (ask) => new Promise((resolve, reject) => {
  ask((error, result, response) => {
    if (error && !error.response) return reject(error);
    const { statusCode, headers } = (error ? error.response : response) || {};
    const body = error ? JSON.parse(error.responseBody) : result;
    resolve({ error: error ? error.constructor.name : null, status: statusCode, headers, body });
  });
});
const call = (method, ...given) => answer((done) => service[method](...given, done));
const put = (record) => call("createOrUpdateIndividualEnrollment", record);
const read = (id) => call("getIndividualEnrollment", id);
const remove = (...given) => call("deleteIndividualEnrollment", ...given);
const bulk = (mode, ...enrollments) => call("runBulkEnrollmentOperation", { mode, enrollments });

const record = (registrationId, more) => ({
  registrationId,
  attestation: { type: "x509", x509: { clientCertificates: { primary: { certificate } } } },
  provisioningStatus: "enabled",
  ...more,
});
const disabled = (found) => ({ ...found.body, provisioningStatus: "disabled" });

const single = async () => {
  const told = { created: await put(record("a", { deviceId: "a-1" })) };
  told.createdAgain = await put(record("a"));
  told.read = await read("a");
  told.unknown = await read("nobody");
  told.updated = await put(disabled(told.read));
  told.stale = await put({ ...told.read.body, deviceId: "a-2" });
  told.after = await read("a");
  return told;
};

const many = async () => {
  const told = { created: await bulk("create", record("a"), record("b"), record("c")) };
  const [b, c] = [await read("b"), await read("c")];
  told.updatedWithoutEtag = await bulk("update", record("b"), record("c"));
  told.updated = await bulk("update", disabled(b));
  told.ifMatch = await bulk("updateIfMatchEtag", disabled(b), disabled(c));
  told.statuses = [await read("b"), await read("c")].map((found) => found.body.provisioningStatus);
  told.tooMany = await bulk("create", ...[..."0123456789A"].map((n) => record(`many-${n}`)));
  told.deleted = await bulk("delete", disabled(b), { registrationId: "c" }, { registrationId: "nobody" });
  told.left = [await read("b"), await read("c")].map((found) => found.status);
  return told;
};

const pages = async () => {
  await bulk("create", ...[..."defgh"].map((id) => record(id)));
  const query = () => service.createIndividualEnrollmentQuery({ query: "SELECT *" }, 3);
  const [whole, told] = [query(), { pages: [] }];
  while (whole.hasMoreResults) {
    told.pages.push(await answer((done) => whole.next(done)));
  }
  const token = told.pages[0].headers["x-ms-continuation"];
  told.resumed = await answer((done) => query().next(token, done));
  told.nonsense = await answer((done) => query().next("nonsense", done));
  return told;
};

const end = async () => {
  const [a, told] = [await read("a"), {}];
  told.stale = await remove("a", "stale");
  told.deleted = await remove(a.body);
  told.read = await read("a");
  told.deletedAgain = await remove("a");
  told.unconditional = await remove("b");
  return told;
};

(async () => {
  const told = { single: await single(), bulk: await many(), query: await pages(), end: await end() };
  console.log(JSON.stringify(told));
})().catch((error) => { console.error(error); process.exit(1); });
