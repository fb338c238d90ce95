// A back end on Azure's official Node SDK: reads an enrollment, and enables it by read-modify-write.
// Prints one JSON object: the record before and after.
"use strict";
const { ProvisioningServiceClient } = require("azure-iot-provisioning-service");
const [connectionString, id] = process.argv.slice(2);
const service = ProvisioningServiceClient.fromConnectionString(connectionString);
const call = (method, ...given) => new Promise((resolve, reject) => {
  service[method](...given, (error, result) => (error ? reject(error) : resolve(result)));
});
(async () => {
  const before = await call("getIndividualEnrollment", id);
  const changed = JSON.parse(JSON.stringify(before));
  changed.provisioningStatus = "enabled";
  await call("createOrUpdateIndividualEnrollment", changed);
  const after = await call("getIndividualEnrollment", id);
  console.log(JSON.stringify({ before, after }));
})().catch((error) => { console.error(error); process.exit(1); });
