//! The state folder, and the commands that work on it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use keys::Passphrase;
use portal::{AccountIs, Portal, StartError};
use support::{PASSWORD, Running, config};

fn words(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

#[tokio::test]
async fn init_destroys_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("portal");
    portal::init(&state, vec!["localhost".to_owned()]).await.unwrap();
    let root = std::fs::read(state.join("root.pem")).unwrap();
    let refused = portal::init(&state, vec!["localhost".to_owned()]).await.unwrap_err().to_string();
    assert!(refused.contains("is not empty; nothing was changed"), "{refused}");
    assert_eq!(std::fs::read(state.join("root.pem")).unwrap(), root);
}

#[tokio::test]
async fn accounts_are_kept_while_the_portal_is_stopped_and_refused_while_it_runs() {
    let portal = Running::start("").await;
    let state = portal.dir.path().join("portal");
    let set =
        async |name: &str, is| portal::set_account(&state, name.parse().unwrap(), &words(PASSWORD), is).await;
    let refused = set("new", AccountIs::New).await.unwrap_err().to_string();
    assert!(refused.contains("in use by a running portal; stop it first"), "{refused}");
    let dir = portal.stop().await;
    let state = dir.path().join("portal");
    let set = async |name: &str, password: &str, is| {
        portal::set_account(&state, name.parse().unwrap(), &words(password), is).await
    };
    set("new", PASSWORD, AccountIs::New).await.unwrap();
    assert!(set("weber", PASSWORD, AccountIs::New).await.unwrap_err().to_string().contains("already"));
    assert!(set("who", PASSWORD, AccountIs::Known).await.unwrap_err().to_string().contains("no account who"));
    assert!(set("more", "short", AccountIs::New).await.unwrap_err().to_string().contains("at least 10"));
    set("weber", "another password", AccountIs::Known).await.unwrap();

    let portal = Running::start_in(dir, "").await;
    assert_eq!(portal.browser().sign_in("new", PASSWORD).await.status, 303);
    assert_eq!(portal.browser().sign_in("weber", PASSWORD).await.status, 401);
    assert_eq!(portal.browser().sign_in("weber", "another password").await.status, 303);
    portal.stop().await;
}

#[tokio::test]
async fn one_portal_works_in_a_folder() {
    let portal = Running::start("").await;
    let refused = Portal::bind(config(&portal.dir.path().join("portal"), "")).await.unwrap_err();
    assert!(matches!(refused, StartError::Folder(portal::folder::FolderError::InUse(_))), "{refused}");
    portal.stop().await;
}

#[tokio::test]
async fn a_portal_without_its_folder_says_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Portal::bind(config(&dir.path().join("none"), "")).await.unwrap_err().to_string();
    assert!(refused.contains("portal init --state"), "{refused}");
}
