//! Watches every request of the factory at the cloud: what it must never do.

use std::collections::{BTreeMap, BTreeSet};

use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use cloud_sync::answer::{Call, Method};
use emulator::{
    Fate,
    cloud::{Cloud, meet::Met},
};
use serde_json::Value;
use time::OffsetDateTime;

use crate::wire::request;

/// Takes the guard away that is tested: no announcement is create-only any more.
pub(crate) fn mutated(call: &Call) -> Call {
    match call.method {
        Method::Put => Call { if_match: Some("*".to_owned()), ..call.clone() },
        Method::Get | Method::Post => call.clone(),
    }
}

/// Lets a request of the factory happen, and checks what it did to the records that were there.
///
/// `thumbprints` are those of all certificates that the factory has issued, by unit; `decided` are the versions of records
/// that a person has given up.
pub(crate) fn meet(
    cloud: &mut Cloud,
    now: OffsetDateTime,
    call: &Call,
    fate: Fate,
    thumbprints: &BTreeMap<String, BTreeSet<String>>,
    decided: &BTreeSet<(String, String)>,
) -> Result<Met, String> {
    let ids = ids(call);
    let before: Vec<_> = ids.iter().map(|id| cloud.enrollment(id)).collect();
    let met = cloud.meet(now, &request(call), fate);
    for (id, before) in ids.iter().zip(&before) {
        let after = cloud.enrollment(id);
        let etag = call.if_match.clone();
        let decided = etag.is_some_and(|etag| decided.contains(&(id.clone(), etag)));
        check(before.as_ref(), after.as_ref(), decided)
            .map_err(|what| format!("{id}: {what}, by {call:?}"))?;
        let thumbprint = after.as_ref().and_then(IndividualEnrollment::thumbprint);
        // What somebody else has put there is not the factory's doing.
        let found = before.as_ref().and_then(IndividualEnrollment::thumbprint);
        let thumbprint = thumbprint.filter(|thumbprint| found != Some(thumbprint));
        let issued = |thumbprint: &str| thumbprints.get(id).is_some_and(|issued| issued.contains(thumbprint));
        if let Some(phantom) = thumbprint.filter(|thumbprint| !id.starts_with("edge-") && !issued(thumbprint))
        {
            return Err(format!("{id}: a phantom, {phantom} was never issued"));
        }
    }
    Ok(met)
}

/// The units that a request is about.
pub(crate) fn ids(call: &Call) -> Vec<String> {
    if let Some(id) = call.path.strip_prefix("/enrollments/") {
        return if id == "query" { Vec::new() } else { vec![id.to_owned()] };
    }
    let items = call.body.as_ref().and_then(|body| body["enrollments"].as_array());
    let id = |item: &Value| item["registrationId"].as_str().map(str::to_owned);
    items.map(|items| items.iter().filter_map(id).collect()).unwrap_or_default()
}

fn check(
    before: Option<&IndividualEnrollment>,
    after: Option<&IndividualEnrollment>,
    decided: bool,
) -> Result<(), &'static str> {
    let Some(before) = before else {
        return if after.is_some_and(enabled) { Err("it was made enabled") } else { Ok(()) };
    };
    let Some(after) = after else { return Err("it was deleted") };
    let withdrawn = decided && scrapped(after) && !enabled(after);
    if before.provisioning_status != after.provisioning_status && !withdrawn {
        return Err("its status was changed");
    }
    if before.thumbprint() != after.thumbprint() && enabled(before) && !decided {
        return Err("an active device was given another certificate");
    }
    if before.initial_twin != after.initial_twin {
        return Err("its twin was changed");
    }
    if (&before.allocation_policy, &before.iot_hubs) != (&after.allocation_policy, &after.iot_hubs) {
        return Err("its hub was changed");
    }
    if epoch(after) < epoch(before) && !decided {
        return Err("an earlier pass was told after a later one");
    }
    if scrapped(before) && !scrapped(after) {
        return Err("a tombstone came back to life");
    }
    Ok(())
}

fn enabled(record: &IndividualEnrollment) -> bool {
    record.provisioning_status != Some(ProvisioningStatus::Disabled)
}

fn edge<'a>(record: &'a IndividualEnrollment, field: &str) -> Option<&'a Value> {
    record.optional_device_information.as_ref()?.get("edge")?.get(field)
}

fn epoch(record: &IndividualEnrollment) -> Option<u64> {
    edge(record, "epoch").and_then(Value::as_u64)
}

fn scrapped(record: &IndividualEnrollment) -> bool {
    edge(record, "scrapped") == Some(&Value::Bool(true))
}
