//! Between a clerk and the cloud, as values.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use azure_iot::sas::{self, SasKey};
use cloud_sync::{
    Cause,
    answer::{Answer, Call, Method, Trouble},
};
use emulator::cloud::{
    Cloud, Identity,
    assumptions::Assumptions,
    http::{Request, Response},
    meet::Met,
};
use time::{OffsetDateTime, macros::datetime};

use crate::plant::HUB;

const HOST: &str = "dps.azure-devices-provisioning.net";
/// The id scope of the cloud.
pub(crate) const SCOPE: &str = "0ne00000001";

/// When the worlds begin.
const BEGIN: OffsetDateTime = datetime!(2026-11-02 06:00 UTC);

/// A moment of a world, by the calendar.
pub(crate) fn moment(now: Duration) -> OffsetDateTime {
    BEGIN + now
}

fn key() -> SasKey {
    SasKey::new(b"secret-key-001".to_vec())
}

/// An empty cloud.
pub(crate) fn cloud(seed: u64) -> Cloud {
    let identity = Identity {
        host: HOST.to_owned(),
        id_scope: SCOPE.to_owned(),
        policy: "edge".to_owned(),
        key: key(),
        hubs: vec![HUB.to_owned()],
        retry_after: 1,
    };
    Cloud::new(identity, Assumptions::default(), seed)
}

/// A call as it reaches the cloud.
pub(crate) fn request(call: &Call) -> Request {
    static TOKEN: OnceLock<String> = OnceLock::new();
    let until = moment(Duration::from_secs(10 * 365 * 86_400)).unix_timestamp();
    let token = TOKEN.get_or_init(|| sas::sign(HOST, "edge", &key(), until)).clone();
    let mut headers = BTreeMap::from([("authorization".to_owned(), token)]);
    headers.extend(call.if_match.iter().map(|etag| ("if-match".to_owned(), etag.clone())));
    let method = match call.method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Post => "POST",
    };
    Request {
        method: method.to_owned(),
        path: call.path.clone(),
        query: BTreeMap::from([("api-version".to_owned(), "2021-10-01".to_owned())]),
        headers,
        body: call.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        peer: None,
    }
}

/// What a clerk hears of what its request has met; `None` for nothing before its patience ends.
pub(crate) fn heard(met: Met) -> Option<Result<Answer, Trouble>> {
    let broken = || Err(trouble(Cause::Unreachable, "connection reset"));
    Some(match met {
        Met::Answer(response) => Ok(answer(response)),
        Met::Truncated(response) => {
            let mut answer = answer(response);
            answer.body.truncate(answer.body.len() / 2);
            Ok(answer)
        }
        Met::LoginPage => Ok(Answer { status: 200, body: b"<p>Please log in".to_vec(), ..Answer::default() }),
        Met::Broken => broken(),
        Met::Dripping(_) | Met::Silence => return None,
    })
}

fn answer(response: Response) -> Answer {
    let retry = response.headers.iter().find(|(name, _)| *name == "retry-after");
    Answer {
        status: response.status,
        retry_after: retry.and_then(|(_, value)| value.parse().ok()).map(Duration::from_secs),
        json: response.body.is_some(),
        body: response.body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        ..Answer::default()
    }
}

pub(crate) fn trouble(cause: Cause, detail: &str) -> Trouble {
    Trouble { cause, detail: detail.to_owned(), retry_after: None }
}
