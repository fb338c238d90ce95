//! Asking DPS where the device belongs: the shell around [`azure_iot::register`].

use std::time::Duration;

use azure_iot::{
    RegistrationId, dps_topics,
    register::{Answer, Conversation, Next, Outcome, Request},
};
use tokio::time::{sleep, timeout};

use crate::{
    config::Config,
    mqtt::{Connection, Endpoint, Gone},
    tls::Identity,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Registers and polls until DPS has said where.
pub(crate) async fn register(
    config: &Config,
    id: &RegistrationId,
    identity: &Identity,
) -> Result<Outcome, Gone> {
    let endpoint = Endpoint {
        host: config.dps_host.clone(),
        connect_to: config.connect_to,
        client_id: id.to_string(),
        user_name: dps_topics::user_name(&config.id_scope, id, &agent()),
    };
    let filters = [dps_topics::RESPONSES.to_owned()];
    let mut connection =
        timeout(PATIENCE, Connection::open(&endpoint, identity, &filters)).await.map_err(late)??;
    let mut conversation = Conversation::new();
    let mut number = 0;
    let mut next = conversation.waited();
    loop {
        next = match next {
            Next::Send(request) => {
                number += 1;
                let answer = ask(&mut connection, &request, number, id);
                conversation.hear(&timeout(PATIENCE, answer).await.map_err(late)??)
            }
            Next::Wait(wait) => {
                sleep(wait).await;
                conversation.waited()
            }
            Next::Done(outcome) => return Ok(outcome),
        }
    }
}

async fn ask(
    connection: &mut Connection,
    request: &Request,
    number: u32,
    id: &RegistrationId,
) -> Result<Answer, Gone> {
    let rid = number.to_string();
    let payload = match request {
        Request::Register => serde_json::json!({ "registrationId": id }).to_string(),
        Request::Poll { .. } => " ".to_owned(),
    };
    connection.publish(dps_topics::request_topic(request, &rid), payload.into_bytes())?;
    loop {
        let arrived = connection.next().await?;
        // An answer to an earlier question, late, is none to this one.
        if let Some((status, answered, retry_after)) = dps_topics::parse_response_topic(&arrived.topic)
            && answered == rid
        {
            return Ok(Answer { status, retry_after, body: arrived.payload });
        }
    }
}

fn late(_: tokio::time::error::Elapsed) -> Gone {
    Gone::Lost("no answer in time".to_owned())
}

/// Who we are, in user names.
pub(crate) fn agent() -> String {
    format!("device-agent%2F{}", env!("CARGO_PKG_VERSION"))
}
