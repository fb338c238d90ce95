//! Who gets in, who does not, and what a form must carry.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use support::{CODE, HUB, PASSWORD, Running};

#[tokio::test]
async fn the_right_password_opens_the_portal_and_signing_out_closes_it() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let page = browser.get("/activate").await;
    assert_eq!(page.status, 200);
    let left = browser.post("/logout", &[("token", &page.token())]).await;
    assert_eq!((left.status, left.location.as_str()), (303, "/login"));
    assert_eq!(browser.get("/activate").await.status, 303);
    portal.stop().await;
}

#[tokio::test]
async fn wrong_name_and_wrong_password_look_the_same() {
    let portal = Running::start("").await;
    let browser = portal.browser();
    let mut bodies = Vec::new();
    for (name, password) in [("weber", "wrong"), ("nobody", PASSWORD), ("no account name!", PASSWORD)] {
        let answer = browser.sign_in(name, password).await;
        assert_eq!(answer.status, 401, "{name}");
        bodies.push(answer.body.replace(&answer.token(), "").replace(&format!("value=\"{name}\""), ""));
    }
    assert!(bodies.iter().all(|body| body == &bodies[0]), "{bodies:#?}");
    assert!(bodies[0].contains("Name or password is wrong."));
    portal.stop().await;
}

#[tokio::test]
async fn every_page_but_the_login_needs_an_account() {
    let portal = Running::start("").await;
    let browser = portal.browser();
    for path in ["/", "/activate", "/activations", "/activations/x", "/activate?device=gw-1"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.location.starts_with("/login?next="), "{path}: {}", answer.location);
    }
    assert_eq!(browser.json("/activations").await.0, 401);
    for path in ["/login", "/livez", "/readyz", "/assets/portal.css", "/assets/follow.js"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    assert_eq!(browser.get("/nothing").await.status, 404);
    portal.stop().await;
}

#[tokio::test]
async fn the_login_leads_to_the_page_that_was_wanted() {
    let portal = Running::start("").await;
    let browser = portal.browser();
    let wanted = browser.get("/activate?device=gw-1").await;
    let login = browser.get(&wanted.location).await;
    let next = login.body.split("name=\"next\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let token = login.token();
    let form = [("name", "Weber"), ("password", PASSWORD), ("token", &token), ("next", next)];
    let answer = browser.post("/login", &form).await;
    assert_eq!(answer.location, "/activate?device=gw-1");
    assert!(
        browser.get(&answer.location).await.body.contains("value=\"gw-1\""),
        "a label's link fills the form"
    );
    portal.stop().await;
}

#[tokio::test]
async fn a_form_from_elsewhere_or_without_its_token_does_nothing() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let token = browser.get("/activate").await.token();
    let mut written = portal.ledger.subscribe();
    let form =
        |token| [("token", token), ("device", "gw-1"), ("claim", CODE), ("metadata", "{}"), ("hub", HUB)];
    for origin in [None, Some("https://evil.example"), Some("null"), Some("http://localhost")] {
        let answer = browser.post_from("/activate", &form(token.as_str()), origin).await;
        assert_eq!(answer.status, 403, "{origin:?}");
    }
    let other = portal.signed_in("klein").await.get("/activate").await.token();
    for wrong in ["", "00", &other] {
        let answer = browser.post("/activate", &form(wrong)).await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(answer.body.contains("gw-1") && answer.body.contains(CODE), "what was typed is kept");
    }
    let login = portal.browser();
    login.get("/login").await;
    let answer = login.post("/login", &[("name", "weber"), ("password", PASSWORD), ("token", "00")]).await;
    assert_eq!(answer.status, 403, "also the login form has a token");
    assert!(written.try_recv().is_err(), "nothing was written");
    portal.stop().await;
}

#[tokio::test]
async fn too_many_wrong_passwords_have_to_wait_even_with_the_right_one() {
    let portal = Running::start("[limits]\nlogins_per_minute = 2\n").await;
    let browser = portal.browser();
    for _ in 0..2 {
        assert_eq!(browser.sign_in("weber", "wrong").await.status, 401);
    }
    let answer = browser.sign_in("weber", PASSWORD).await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 60);
    assert_eq!(browser.sign_in("klein", PASSWORD).await.status, 303, "others are not held up");
    portal.stop().await;
}

#[tokio::test]
async fn one_address_cannot_try_every_account() {
    let portal = Running::start("[limits]\nlogins_per_minute = 1\n").await;
    let browser = portal.browser();
    for i in 0..4 {
        assert_eq!(browser.sign_in(&format!("name{i}"), "wrong").await.status, 401);
    }
    assert_eq!(browser.sign_in("name5", "wrong").await.status, 429);
    portal.stop().await;
}

#[tokio::test]
async fn the_session_gets_a_new_name_at_the_login_and_its_cookie_stays_home() {
    let portal = Running::start("").await;
    let browser = portal.browser();
    let visit = browser.get("/login").await;
    assert!(!format!("{:?}", visit.headers).contains("__Host-portal="), "no session before the login");
    let session = |answer: &support::Answer| {
        let cookies = answer.headers.get_all("set-cookie").iter();
        let found = cookies.map(|cookie| cookie.to_str().unwrap().to_owned());
        found.into_iter().find(|cookie| cookie.starts_with("__Host-portal=")).unwrap()
    };
    let first = session(&browser.sign_in("weber", PASSWORD).await);
    for word in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(first.contains(word), "{first}");
    }
    assert!(!first.contains("Domain"), "{first}");
    let token = visit.token();
    let form = [("name", "weber"), ("password", PASSWORD), ("token", token.as_str())];
    let second = session(&browser.post("/login", &form).await);
    let id = |cookie: &str| cookie.split(';').next().unwrap().to_owned();
    assert_ne!(id(&first), id(&second), "a session that somebody planted is worth nothing");
    portal.stop().await;
}

#[tokio::test]
async fn pages_keep_to_themselves() {
    let portal = Running::start("").await;
    let page = portal.browser().get("/login").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(page.headers.contains_key("strict-transport-security"));
    assert!(!page.body.contains("<style") && !page.body.contains("onclick"), "nothing inline");
    portal.stop().await;
}
