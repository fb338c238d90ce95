//! More units asked for than may be in the making.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use edge::clock::machine;
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{Running, csr};

/// How many ask at the same time.
const CROWD: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_beyond_the_last_place_is_told_to_come_back_and_nothing_is_written_for_him() {
    let edge = Running::start_with("limits = { signatures = 1 }", machine()).await;
    let token = edge.role("supervisor").await;
    let (mut turned_away, mut total) = (0, 0);
    for round in 0..20 {
        let requests: Vec<Value> = (0..CROWD)
            .map(|i| format!("gw-{round}-{i}"))
            .map(|id| json!({ "id": id, "csr": csr(&id), "line": "L1" }))
            .collect();
        let answers = requests.iter().map(async |request| {
            let response = edge.post(&token).json(request).send().await.unwrap();
            let (status, again) =
                (response.status().as_u16(), response.headers().get("retry-after").cloned());
            let body: Value = response.json().await.unwrap();
            (status, again, body)
        });
        let mut issued = 0;
        for (status, again, body) in join_all(answers).await {
            match status {
                201 => issued += 1,
                503 => {
                    assert_eq!(body["code"], "busy", "{body}");
                    assert_eq!(again.unwrap(), "1");
                    turned_away += 1;
                }
                _ => unreachable!("{status} {body}"),
            }
        }
        assert!(issued > 0, "somebody is always served");
        total += issued;
        let status = edge.local(reqwest::Method::GET, "/status", None).await.1;
        assert_eq!(status["lines"][0]["issued"], total, "written is what was answered with 201: {status}");
        if turned_away > 0 {
            return;
        }
    }
    unreachable!("{CROWD} at a time, and nobody ever met another");
}
